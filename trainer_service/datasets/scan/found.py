"""What a pass over a source has found, and how it is kept so that it can be read in another way.

The images are in `images.jsonl`; what else was found is kept in two files beside it.
"""

import json
import zipfile
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path, PurePosixPath

from shared.files import atomic_writer
from trainer_service.datasets.records import ImageRecord, RejectedFile, Verdict
from trainer_service.datasets.scan.verdicts import Note
from trainer_service.datasets.sources.names import is_hidden
from trainer_service.errors import RecordCorrupt
from trainer_service.store.records.parts import CrowdCount

OTHERS_FILE = "others.json"
TABLES_FILE = "tables.zip"

_SHOWN = 3
_MOST_SUFFIXES = 100


@dataclass
class Found:
    """What a pass over a source has found.

    Attributes:
        in_place: whether its images are left where they are, in a folder.
        notes: its images, in the order of their names once all were seen.
        tables: the tables that may say something of them, by their names.
        large_tables: the names of those that are too large to be read.
        closed_tables: why others can't be read, by their names.
        crowds: how many images are nearly equal in groups too large to be kept together.
        guesses: what was guessed of the source as a whole, in words.
        told: files that are no images and that are reported.
        vanished: how many files disappeared during the pass.
        ignored: how many other files there are.
        litter: how many of these lie in the folders of systems and tools, by the folders' names.
        others: how many these are of each suffix.
        examples: the names of the first of each suffix.
    """

    in_place: bool = False
    notes: list[Note] = field(default_factory=list)
    tables: dict[str, bytes] = field(default_factory=dict)
    table_bytes: int = 0
    large_tables: list[str] = field(default_factory=list)
    closed_tables: dict[str, str] = field(default_factory=dict)
    crowds: CrowdCount = field(default_factory=CrowdCount)
    guesses: list[str] = field(default_factory=list)
    told: list[RejectedFile] = field(default_factory=list)
    vanished: int = 0
    ignored: int = 0
    litter: Counter[str] = field(default_factory=Counter)
    others: Counter[str] = field(default_factory=Counter)
    examples: dict[str, list[str]] = field(default_factory=dict)

    def tell(self, name: str, verdict: Verdict, detail: str) -> None:
        self.told.append(RejectedFile(name=name, label="", verdict=verdict, detail=detail))

    def ignore(self, name: str) -> None:
        """Count a file that lies in a folder of a system or a tool, or is one of theirs."""
        self.ignored += 1
        for part in PurePosixPath(name).parts[:-1]:
            if is_hidden(part):
                self.litter[part] += 1
                return

    def pass_over(self, name: str) -> None:
        """Count a file that is no image and no table, and name it if it is one of the first."""
        self.ignored += 1
        suffix = PurePosixPath(name).suffix.lower()
        if suffix in self.others or len(self.others) < _MOST_SUFFIXES:
            self.others[suffix] += 1
            examples = self.examples.setdefault(suffix, [])
            if len(examples) < _SHOWN:
                examples.append(name)


def save_others(directory: Path, found: Found) -> None:
    """Write down what is not in `images.jsonl`, for `load_found`."""
    with (
        atomic_writer(directory / TABLES_FILE) as file,
        zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive,
    ):
        for number, data in enumerate(found.tables.values()):
            archive.writestr(str(number), data)
    said = {
        "in_place": found.in_place,
        "tables": list(found.tables),
        "large_tables": found.large_tables,
        "closed_tables": found.closed_tables,
        "crowds": found.crowds.model_dump(),
        "guesses": found.guesses,
        "told": [file.model_dump() for file in found.told],
        "ignored": found.ignored,
        "litter": found.litter,
        "others": found.others,
        "examples": found.examples,
    }
    with atomic_writer(directory / OTHERS_FILE) as file:
        file.write(json.dumps(said).encode())


def load_found(directory: Path, records: Iterable[ImageRecord]) -> Found:
    """Return what was found when a dataset was read.

    Raises:
        RecordCorrupt: what was written then is missing or damaged.
    """
    try:
        said = json.loads((directory / OTHERS_FILE).read_bytes())
        with zipfile.ZipFile(directory / TABLES_FILE) as archive:
            tables = {name: archive.read(str(n)) for n, name in enumerate(said["tables"])}
        return Found(
            in_place=said.get("in_place", False),
            notes=[_note(record) for record in records],
            tables=tables,
            large_tables=said["large_tables"],
            closed_tables=said["closed_tables"],
            crowds=CrowdCount.model_validate(said.get("crowds", {})),
            guesses=said.get("guesses", []),
            told=[RejectedFile.model_validate(file) for file in said["told"]],
            ignored=said["ignored"],
            litter=Counter(said["litter"]),
            others=Counter(said["others"]),
            examples=said["examples"],
        )
    except (FileNotFoundError, KeyError, ValueError, TypeError, zipfile.BadZipFile) as error:
        raise RecordCorrupt(
            f"datasets/{directory.name}: what was found beside the images is not known any more "
            f"({type(error).__name__}), so that it can't be read in another way. Submit what the "
            "dataset was made of again."
        ) from None


def _note(record: ImageRecord) -> Note:
    """Return what was known of an image before it was labelled."""
    note = Note(
        record.name,
        record.file,
        record.bytes,
        record.sha256,
        record.format,
        record.width,
        record.height,
    )
    if record.file:  # it was sound, and kept
        return replace(note, double_of=record.double_of)
    return replace(note, verdict=record.verdict, detail=record.detail)

"""The commands that name, note, rename and remove models and versions, and show what they take."""

from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.table import Table

from client.options import (
    TRAINER,
    ApiKey,
    AsJson,
    ModelArgument,
    TrainerUrl,
    VersionArgument,
)
from client.printing import add_row, time_in_words
from client.service import Record, Service, model_address, trainer_at
from client.terminal import counted, errors_in_words, open_console, print_json, print_line

OneOrAll = Annotated[int | None, typer.Argument(metavar="[VERSION]", min=1)]
NewName = Annotated[str, typer.Argument(metavar="NAME")]
Alias = Annotated[
    str | None, typer.Argument(metavar="[ALIAS]", help="Without it, the version's is removed.")
]
Text = Annotated[
    str | None, typer.Argument(metavar="[TEXT]", help="Without it, the note is removed.")
]
OfVersion = Annotated[
    int | None, typer.Option("--version", min=1, help="The version; else the model is noted.")
]
Force = Annotated[bool, typer.Option("--force", help="Also remove what is served.")]

_UNITS = ("bytes", "kB", "MB", "GB", "TB")


def delete_command(  # noqa: PLR0913 - each is an argument or an option
    *,
    model: ModelArgument,
    version: OneOrAll = None,
    force: Force = False,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Remove a version, or without one the whole model."""
    address = model_address(model) if version is None else model_address(model, version)
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        trainer.delete(address, params={"force": True} if force else {})
    if as_json:
        print_json({"model": model, "version": version, "removed": True})
    else:
        print_line(f"{_what(model, version)} is removed.")


def rename_command(
    *,
    model: ModelArgument,
    name: NewName,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Give a model another name, under which the predictor then serves it."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        changed = trainer.post(f"{model_address(model)}/rename", json={"name": name})
    if as_json:
        print_json(changed)
    else:
        print_line(f"{model} is called {changed['name']} now.")


def alias_command(  # noqa: PLR0913 - each is an argument or an option
    *,
    model: ModelArgument,
    version: VersionArgument,
    alias: Alias = None,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Give a version an alias, which another version that has it loses."""
    said = f"has the alias {alias}" if alias else "has no alias"
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        _change(trainer, model, version, {"alias": alias}, said, as_json=as_json)


def note_command(  # noqa: PLR0913 - each is an argument or an option
    *,
    model: ModelArgument,
    text: Text = None,
    version: OfVersion = None,
    as_json: AsJson = False,
    trainer_url: TrainerUrl = TRAINER,
    api_key: ApiKey = None,
) -> None:
    """Note something about a model or one of its versions."""
    said = "is noted" if text else "has no note"
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        _change(trainer, model, version, {"note": text}, said, as_json=as_json)


def usage_command(
    *, as_json: AsJson = False, trainer_url: TrainerUrl = TRAINER, api_key: ApiKey = None
) -> None:
    """Show what lies on the disk, and what is removed next."""
    with errors_in_words(as_json=as_json), trainer_at(trainer_url, api_key) as trainer:
        usage = trainer.get("/v1/usage")
    if as_json:
        print_json(usage)
        return
    table = Table("what", "size", "files", box=SIMPLE_HEAD)
    for kind in usage["kinds"]:
        if kind["files"]:
            add_row(table, kind["kind"], size_in_words(kind["bytes"]), kind["files"])
    for model in usage["models"]:
        versions = counted(len(model["versions"]), "version")
        add_row(table, f"model {model['name']}", size_in_words(model["bytes"]), versions)
    open_console().print(table)
    more = "" if usage["complete"] else " or more, as not all of it could be measured"
    free, disk = size_in_words(usage["free_bytes"]), size_in_words(usage["disk_bytes"])
    print_line(f"{size_in_words(usage['bytes'])}{more}; {free} of {disk} are free.")
    for removal in usage["removals"]:
        print_line(_removal(removal))


def size_in_words(size: float) -> str:
    """Return a number of bytes in words, for example "1.5 MB"."""
    unit = 0
    while size >= 1000 and unit < len(_UNITS) - 1:  # noqa: PLR2004 - of kilobytes and so on
        size, unit = size / 1000, unit + 1
    return f"{size:.1f} {_UNITS[unit]}" if unit else f"{size:.0f} bytes"


def _removal(removal: Record) -> str:
    at = datetime.fromisoformat(removal["at"])
    due = "within ten minutes" if at <= datetime.now(UTC) else f"from {time_in_words(str(at))} on"
    items = counted(removal["count"], "item")
    line = (
        f"Removed next of {removal['kind']}: {size_in_words(removal['bytes'])} ({items}) {due}, "
        f"by {removal['setting']}."
    )
    return f"{line} {removal['held']}" if removal["held"] else line


def _change(  # noqa: PLR0913 - what, how, and how it is told
    trainer: Service,
    model: str,
    version: int | None,
    body: dict[str, Any],
    said: str,
    *,
    as_json: bool,
) -> None:
    """Change what is said of a model or a version, and print that."""
    address = model_address(model) if version is None else model_address(model, version)
    changed = trainer.patch(address, json=body)
    if as_json:
        print_json(changed)
    else:
        print_line(f"{_what(model, version)} {said}.")


def _what(model: str, version: int | None) -> str:
    return f"Model {model}" if version is None else f"Version {version} of {model}"

"""The sections of a report about what the model was made from, and how to use it."""

import json
from itertools import pairwise

from shared.models.manifest import Manifest
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import seconds, size
from trainer_service.report.parts import card, details, fact_list, table
from trainer_service.report.sections.corrections import corrected, corrections
from trainer_service.report.sections.tuning import tuned_or_not
from trainer_service.store.records.interpretation import Layout
from trainer_service.store.records.parts import DoubleCount
from trainer_service.store.records.training_record import TrainingRecord


def how_to_call(model: str, predictor: str) -> Markup:
    """Return how to classify a picture with a model of the predictor at an address."""
    url = f"{predictor}/v1/predict?model={model}"
    return card(
        "How to call it",
        tag("pre", tag("code", f"curl -F file=@picture.jpg '{url}'")),
        tag(
            "p",
            "The answer names model, version, label, probability and the likeliest labels. Send "
            "files as they are: decoding, resizing and normalising belong to the model. The files "
            "beside this report also load without the predictor: ",
            tag("code", "saved_model.pb"),
            " in TensorFlow Serving, ",
            tag("code", "openvino/"),
            " in OpenVINO, ",
            tag("code", "model.keras"),
            " in Keras.",
        ),
    )


def limits(facts: Facts) -> Markup:
    """Return what a model of this kind can't do."""
    labels = len(facts.manifest.labels)
    warnings = (
        (
            f"It answers with one of its {labels} labels for any image, also for one that "
            "shows none of them."
        ),
        (
            "It was tested on images of the same collection as those it learnt from. From other "
            "cameras, places or times, expect less, and measure it."
        ),
        (
            "Its probabilities hold for images like those that it was tested on. Of others it may "
            "be sure and wrong."
        ),
        "It is weak on whatever the collection shows rarely: see the images per label.",
    )
    return card("What to expect of it", tag("ul", [tag("li", warning) for warning in warnings]))


def data(facts: Facts) -> Markup:
    """Return where the images come from, how they were split, and which were rejected."""
    dataset, training = facts.dataset, facts.record.dataset
    how = (
        "as the dataset brings it"
        if dataset.has_split
        else "by the hash of each image, label by label; copies of an image stay on one side"
    )
    parts = ", ".join(f"{count} {name}" for name, count in training.split.items())
    return card(
        "Dataset",
        fact_list(
            ("Source", dataset.source),
            ("Images", training.images),
            ("Labels", f"{len(training.labels)}, from {_layout(dataset.layout)}"),
            ("Split", f"{parts}; {how}"),
            ("Near doubles", _doubles(training.doubles, has_split=dataset.has_split)),
            ("Rejected", training.rejected_count),
            ("Files of other kinds", dataset.ignored),
            ("Corrections", corrected(facts)),
            ("Id", dataset.id),
        ),
        corrections(facts),
        _rejected(facts),
    )


def _doubles(doubles: DoubleCount | None, *, has_split: bool) -> str:
    """Return how many images are nearly equal, and whether the split keeps them together."""
    if doubles is None:
        return "not looked for"
    groups = _groups(doubles, has_split=has_split)
    return f"{groups}. {doubles.crowds.in_words()}" if doubles.crowds.groups else groups


def _groups(doubles: DoubleCount, *, has_split: bool) -> str:
    if not doubles.groups:
        return "none"
    found = doubles.in_words()
    if doubles.leaks:
        return f"{found}; {doubles.leaks} of these in several parts, e.g. {doubles.example}"
    return found if has_split else f"{found}, each kept in one part"


def training(facts: Facts) -> Markup:
    """Return the architecture, weights, settings, seed, and how long each phase took."""
    manifest, architecture = facts.manifest, CATALOGUE.get(facts.manifest.architecture)
    parameters = f", {architecture.parameters:,} parameters" if architecture else ""
    settings = manifest.training.items()
    cache = facts.record.cache
    reused = f"{cache.reused} reused, {cache.computed} computed" if cache else "unknown"
    if cache and cache.views_reused + cache.views_computed:
        reused += f"; of views: {cache.views_reused} reused, {cache.views_computed} computed"
    return card(
        "Training",
        fact_list(
            ("Architecture", f"{manifest.architecture}{parameters}"),
            ("Input", f"{manifest.input.width} by {manifest.input.height} pixels, RGB"),
            ("Weights", manifest.weights.source),
            ("Head", manifest.head.detail if manifest.head else "layers"),
            ("Fine-tuning", tuned_or_not(manifest.tune)),
            ("Bottleneck features", reused),
            ("Seed", manifest.seed),
            ("Training", manifest.training_id),
            ("Published", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"),
        ),
        details("Settings", fact_list(*((name, _plain(value)) for name, value in settings))),
        details("Time per phase", fact_list(*phases(facts.record))),
        details("Library versions", fact_list(*manifest.libraries.items())),
    )


def hashes(manifest: Manifest) -> Markup:
    """Return the hashes that show whether the files are those that were published."""
    rows = [(entry.path, entry.sha256, size(entry.bytes)) for entry in manifest.files]
    dataset = manifest.dataset
    digest = [("Dataset (digest)", dataset.digest)] if dataset is not None else []
    return card(
        "Hashes",
        fact_list(
            ("Weights (SHA-256)", manifest.weights.sha256),
            *digest,
        ),
        details("Files (SHA-256)", table("Files", ("File", "SHA-256", "Size"), rows, text=2)),
        tag(
            "p", "The manifest.json of the version has the hash of this report too.", class_="muted"
        ),
    )


def _rejected(facts: Facts) -> Markup | None:
    dataset = facts.record.dataset
    if not dataset.rejected:
        return None
    verdicts = sorted(dataset.verdicts.items(), key=lambda item: -item[1])
    rows = [(image.name, image.verdict, image.detail) for image in dataset.rejected]
    counts = ", ".join(f"{count} {verdict}" for verdict, count in verdicts)
    more = dataset.rejected_count - len(rows)
    return details(
        f"Rejected: {counts}",
        table("Rejected", ("File", "Verdict", "Why"), rows, text=3),
        tag("p", f"… and {more} more.", class_="muted") if more else None,
    )


def phases(record: TrainingRecord) -> list[tuple[str, str]]:
    """Return the name of each phase that has ended, and how long it took."""
    steps = record.transitions
    return [
        (before.state.value, seconds(max(0.0, (after.at - before.at).total_seconds())))
        for before, after in pairwise(steps)
    ]


def _layout(layout: Layout | None) -> str:
    names = {"folders": "folder names", "file names": "file names", "table": "a table"}
    return names[layout.kind] if layout is not None else "the dataset"


def _plain(value: object) -> str:
    return value if isinstance(value, str) else json.dumps(value)

"""The report of a pre-trained network that was published as it is: it has no test figures."""

from collections.abc import Iterable

from shared.models.manifest import Manifest, PretrainedInfo
from trainer_service.backbones.architectures import CATALOGUE
from trainer_service.report.markup import Markup, tag
from trainer_service.report.page import beside, document_of
from trainer_service.report.parts import card, details, fact_list, table
from trainer_service.report.sections import origin
from trainer_service.report.sections.promotion import promoted_or_not
from trainer_service.store.promoting import Verdict
from trainer_service.store.records.training_record import TrainingRecord


def render_pretrained(
    manifest: Manifest, record: TrainingRecord, verdict: Verdict, predictor: str
) -> str:
    """Return the report of a version, as a whole HTML page.

    Args:
        manifest: that of the version, which says what it is.
        record: of the job that publishes it.
        verdict: whether it is to be served.
        predictor: the base URL of the predictor.
    """
    told = manifest.pretrained
    return document_of(
        manifest, _sections(manifest, told, record, verdict, predictor) if told else ()
    )


def _sections(
    manifest: Manifest,
    told: PretrainedInfo,
    record: TrainingRecord,
    verdict: Verdict,
    predictor: str,
) -> Iterable[Markup]:
    yield beside(_what_it_is(told), origin.how_to_call(manifest.model, predictor))
    yield promoted_or_not(verdict)
    yield _labels(manifest, told)
    yield _limits(manifest, told)
    yield _origin(manifest, record)
    yield origin.hashes(manifest)


def _what_it_is(told: PretrainedInfo) -> Markup:
    return card(
        "A pre-trained network, as it is",
        tag("p", told.detail),
        tag(
            "p",
            "It was tested on no pictures here, so this report has no accuracy. Try it with your "
            "own pictures before you rely on it.",
        ),
    )


def _labels(manifest: Manifest, told: PretrainedInfo) -> Markup:
    if not told.classes:
        listed = tag("p", ", ".join(manifest.labels))
        return card("Labels", details(f"All {len(manifest.labels):,} classes", listed))
    rows = [(label, ", ".join(names)) for label, names in told.classes.items()]
    rest = [(told.rest, "all other classes")] if told.rest is not None else []
    names = ("Label", "Classes of ImageNet")
    return card("Labels", table("Labels", names, [*rows, *rest], text=2))


def _limits(manifest: Manifest, told: PretrainedInfo) -> Markup:
    unknown = manifest.unknown.detail if manifest.unknown else ""
    sentences = (
        (
            "It knows the classes of ImageNet as ImageNet shows them: mostly one thing, in the "
            "middle of a photograph. Many everyday things are no class of it."
        ),
        "It answers with one of its labels to every picture, also to one that shows none of them.",
        "Its probabilities were not calibrated.",
        unknown,
        told.no_heatmaps,
    )
    return card("What to expect of it", tag("ul", [tag("li", one) for one in sentences if one]))


def _origin(manifest: Manifest, record: TrainingRecord) -> Markup:
    architecture = CATALOGUE.get(manifest.architecture)
    parameters = f", {architecture.parameters:,} parameters" if architecture else ""
    return card(
        "Origin",
        fact_list(
            ("Architecture", f"{manifest.architecture}{parameters} without the classifier"),
            ("Input", f"{manifest.input.width} by {manifest.input.height} pixels, RGB"),
            ("Weights", manifest.weights.source),
            ("Classifier", manifest.head.detail if manifest.head else ""),
            ("Job", manifest.training_id),
            ("Published", f"{manifest.created_at:%Y-%m-%d %H:%M} UTC"),
        ),
        details("Time per phase", fact_list(*origin.phases(record))),
        details("Library versions", fact_list(*manifest.libraries.items())),
    )

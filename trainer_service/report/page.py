"""The report as one HTML document, without scripts and without anything from outside."""

import base64
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

import shared
from shared.models.manifest import Manifest
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, join, raw, tag
from trainer_service.report.sections import evaluation, origin
from trainer_service.report.sections.promotion import promotion
from trainer_service.report.sections.reliability import reliability
from trainer_service.report.sections.suspects import suspects
from trainer_service.report.sections.tuning import tuning
from trainer_service.report.sections.unknown import unknown

#: With more labels than this, the table and the matrix each need the whole width.
FEW_LABELS = 12

_COMMON = Path(shared.__file__).parent / "http" / "web" / "base.css"
_OWN = Path(__file__).with_name("report.css")


def render(facts: Facts) -> str:
    """Return the report of a version."""
    return document_of(facts.manifest, _sections(facts))


def document_of(manifest: Manifest, sections: Iterable[Markup]) -> str:
    """Return the report of a version with its sections."""
    title = _title(manifest, manifest.version)
    made = f"{manifest.architecture}, published {manifest.created_at:%Y-%m-%d %H:%M} UTC"
    return document(title, made, sections)


def document(title: str, made: str, sections: Iterable[Markup]) -> str:
    """Return a report as one HTML document.

    Args:
        title: what it is about.
        made: a few words about how and when that was made.
        sections: its cards.
    """
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", _style()),
    )
    header = tag("header", tag("h1", title), tag("span", made, class_="muted"), class_="page")
    body = tag("body", header, tag("main", sections))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def renumbered(page: str, manifest: Manifest, version: int) -> str:
    """Return the report of a version under another number.

    Args:
        page: the report.
        manifest: that of the version, with the number that it has.
        version: the number that it gets.
    """
    for name in ("title", "h1"):
        before, after = (
            tag(name, _title(manifest, number)) for number in (manifest.version, version)
        )
        page = page.replace(before, after, 1)
    return page


def _title(manifest: Manifest, version: int) -> str:
    return f"{manifest.model}, version {version}"


def _sections(facts: Facts) -> Iterable[Markup]:
    labels = (evaluation.per_label(facts), evaluation.confusion_matrix(facts))
    yield beside(
        evaluation.result(facts), origin.how_to_call(facts.manifest.model, facts.predictor)
    )
    yield from filter(None, [promotion(facts)])
    yield beside(*labels) if len(facts.manifest.labels) <= FEW_LABELS else join(labels)
    yield reliability(facts)
    yield from filter(None, [unknown(facts)])
    yield evaluation.training_curves(facts)
    yield from filter(None, [tuning(facts)])
    yield evaluation.mistakes(facts)
    yield evaluation.samples(facts)
    yield from filter(None, [suspects(facts)])
    yield origin.limits(facts)
    yield beside(origin.data(facts), origin.training(facts))
    yield origin.hashes(facts.manifest)


def beside(*cards: Markup) -> Markup:
    """Return cards side by side, where there is room."""
    return tag("div", cards, class_="columns")


@cache
def _style() -> Markup:
    return join(raw(file.read_text("utf-8")) for file in (_COMMON, _OWN))


@cache
def _policy() -> str:
    """Return a policy that allows only the style of the report and its embedded images.

    It is part of the file, so it applies wherever that is opened.
    """
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )

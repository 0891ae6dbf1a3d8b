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
    return document(facts.manifest, _sections(facts))


def document(manifest: Manifest, sections: Iterable[Markup]) -> str:
    """Return the page of a version with its sections."""
    title = f"{manifest.model}, version {manifest.version}"
    head = tag(
        "head",
        tag("meta", charset="utf-8"),
        tag("meta", http_equiv="Content-Security-Policy", content=_policy()),
        tag("meta", name="viewport", content="width=device-width, initial-scale=1"),
        tag("title", title),
        tag("style", _style()),
    )
    made = f"{manifest.architecture}, published {manifest.created_at:%Y-%m-%d %H:%M} UTC"
    header = tag("header", tag("h1", title), tag("span", made, class_="muted"), class_="page")
    body = tag("body", header, tag("main", sections))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


def _sections(facts: Facts) -> Iterable[Markup]:
    labels = (evaluation.per_label(facts), evaluation.confusion_matrix(facts))
    yield beside(
        evaluation.result(facts), origin.how_to_call(facts.manifest.model, facts.predictor)
    )
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

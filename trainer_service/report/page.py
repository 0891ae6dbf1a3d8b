"""The report as one HTML document: no script, nothing from outside, opens from disk."""

import base64
import hashlib
from functools import cache
from pathlib import Path

import shared
from trainer_service.report import evaluation, origin
from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, join, raw, tag

_COMMON = Path(shared.__file__).parent / "web" / "base.css"
_OWN = Path(__file__).with_name("report.css")


def render(facts: Facts) -> str:
    """Return the report of a version."""
    manifest = facts.manifest
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
    body = tag("body", header, tag("main", [section(facts) for section in _SECTIONS]))
    return f"<!doctype html>\n{tag('html', head, body, lang='en')}\n"


_SECTIONS = (
    evaluation.result,
    origin.how_to_call,
    evaluation.per_label,
    evaluation.confusion_matrix,
    evaluation.training_curves,
    evaluation.mistakes,
    evaluation.samples,
    origin.limits,
    origin.data,
    origin.training,
    origin.hashes,
)


@cache
def _style() -> Markup:
    return join(raw(file.read_text("utf-8")) for file in (_COMMON, _OWN))


@cache
def _policy() -> str:
    """Return a policy that holds wherever the file is opened: this very style, embedded images."""
    digest = base64.b64encode(hashlib.sha256(_style().encode()).digest()).decode()
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; "
        "base-uri 'none'; form-action 'none'"
    )

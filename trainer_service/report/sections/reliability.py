"""The section of a report about how far its probabilities can be trusted."""

from collections.abc import Iterable, Mapping
from typing import Any

from trainer_service.report.facts import Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card, fact_list

SIDE, LEFT, TOP, BOTTOM = 240, 48, 12, 40
_TICKS = (0.0, 0.25, 0.5, 0.75, 1.0)


def reliability(facts: Facts) -> Markup:
    """Return how sure the model is of the test images, and how often it is right."""
    test = facts.metrics["test"]
    return card(
        "Can its probabilities be trusted?",
        tag("div", _diagram(test["calibration"]), tag("div", list(_words(test))), class_="beside"),
    )


def _words(test: Mapping[str, Any]) -> Iterable[Markup]:
    yield tag("p", test["calibration_detail"])
    yield fact_list(
        ("Log loss", f"{test['loss']:.4f}"),
        ("Brier score", f"{test['brier']:.4f}"),
        ("Calibration error", percent(test["calibration_error"])),
        ("Expected by chance", percent(test["calibration_error_expected"])),
    )
    yield tag(
        "p",
        "Each point is a group of test images: to the right, how sure the model is of them; "
        "upwards, the share that it answers right, with its 95 % interval. Points on the "
        "diagonal are probabilities that mean what they say.",
        class_="muted",
    )


def _diagram(groups: list[Mapping[str, Any]]) -> Markup:
    label = "Accuracy by probability: " + ", ".join(
        f"{percent(group['accuracy'])} of {group['images']} images right at "
        f"{percent(group['probability'])}"
        for group in groups
    )
    return tag(
        "svg",
        [_tick(share) for share in _TICKS],
        tag("line", x1=_x(0), y1=_y(0), x2=_x(1), y2=_y(1), class_="kept"),
        [_point(group) for group in groups],
        tag("text", "probability", x=_x(1), y=TOP + SIDE + 34, text_anchor="end"),
        viewBox=f"0 0 {LEFT + SIDE + 24} {TOP + SIDE + BOTTOM}",
        role="img",
        aria_label=label,
        class_="chart reliability",
    )


def _tick(share: float) -> Markup:
    name = f"{share:.0%}"
    return Markup(
        tag("line", x1=_x(0), x2=_x(1), y1=_y(share), y2=_y(share), class_="grid")
        + tag("text", name, x=LEFT - 6, y=_y(share) + 4, text_anchor="end")
        + tag("text", name, x=_x(share), y=TOP + SIDE + 18, text_anchor="middle")
    )


def _point(group: Mapping[str, Any]) -> Markup:
    x = _x(group["probability"])
    low, high = _y(group["accuracy_low"]), _y(group["accuracy_high"])
    return Markup(
        tag("line", x1=x, x2=x, y1=low, y2=high, class_="line series-1")
        + tag("circle", cx=x, cy=_y(group["accuracy"]), r=4, class_="dot series-1")
    )


def _x(share: float) -> float:
    return LEFT + share * SIDE


def _y(share: float) -> float:
    return TOP + (1 - share) * SIDE

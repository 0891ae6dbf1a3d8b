"""The sections of a report about how good the model is."""

import math
from collections.abc import Sequence

from trainer_service.report.confusion import confusion, most_frequent
from trainer_service.report.curves import Series, curves
from trainer_service.report.facts import Answer, Facts
from trainer_service.report.markup import Markup, tag
from trainer_service.report.numbers import percent
from trainer_service.report.parts import card, fact_list, scroll, shown, table
from trainer_service.report.sections.choice import choice

SHOWN_CONFUSIONS = 10
_TRAINING, _VALIDATION = "series-2 dashed", "series-1"


def result(facts: Facts) -> Markup:
    """Return the accuracy, its uncertainty, and the accuracy of always answering the same."""
    test = facts.metrics["test"]
    low, high = percent(test["accuracy_low"]), percent(test["accuracy_high"])
    supports = {label: row["support"] for label, row in test["per_class"].items()}
    common = max(supports, key=lambda label: supports[label])
    return card(
        "Result",
        tag(
            "p",
            tag("strong", percent(test["accuracy"])),
            " of the test images right",
            class_="headline",
        ),
        tag(
            "p",
            f"{test['images']} images that training never saw; with so many, the accuracy on "
            f"others like them is between {low} and {high} (95 % confidence). "
            "Always answering ",
            tag("strong", common),
            f" would be right for {percent(supports[common] / test['images'])}.",
        ),
        fact_list(
            ("Test loss", f"{test['loss']:.4f}"),
            ("Validation accuracy", percent(facts.metrics["validation"]["accuracy"])),
            ("Validation loss", f"{facts.metrics['validation']['loss']:.4f}"),
        ),
    )


def per_label(facts: Facts) -> Markup:
    """Return the metrics of each label as a table."""
    images = facts.record.dataset.labels
    rows = [
        (
            label,
            *(percent(row[name]) for name in ("precision", "recall", "f1")),
            int(row["support"]),
            images.get(label, 0),
        )
        for label, row in facts.metrics["test"]["per_class"].items()
    ]
    names = ("Label", "Precision", "Recall", "F1", "Test images", "All images")
    return card("Per label", table("Metrics per label", names, rows, text=1))


def confusion_matrix(facts: Facts) -> Markup:
    """Return the matrix as a picture, and its most frequent confusions in words."""
    labels, matrix = facts.manifest.labels, facts.metrics["test"]["confusion_matrix"]
    worst = most_frequent(labels, matrix, SHOWN_CONFUSIONS)
    return card(
        "Confusion matrix",
        scroll("Confusion matrix", confusion(labels, matrix)),
        _confusions(worst) if worst else tag("p", "Nothing was confused."),
    )


def _confusions(worst: Sequence[tuple[str, str, int]]) -> tuple[Markup, Markup]:
    title, names = "Most frequent confusions", ("Is", "Taken for", "Test images")
    return tag("h3", title), table(title, names, worst, text=2)


def training_curves(facts: Facts) -> Markup:
    """Return how the head was trained: its loss and accuracy by epoch, or by strength."""
    return choice(facts) if "strength" in facts.history[0] else _epochs(facts)


def _epochs(facts: Facts) -> Markup:
    pair = (("training", "", _TRAINING), ("validation", "val_", _VALIDATION))
    loss, accuracy = (
        [
            Series(name, style, [logs.get(f"{prefix}{metric}", math.nan) for logs in facts.history])
            for name, prefix, style in pair
        ]
        for metric in ("loss", "accuracy")
    )
    return card(
        "Curves",
        _side_by_side(
            curves("Loss", loss, facts.best_epoch, _loss),
            curves("Accuracy", accuracy, facts.best_epoch, percent),
        ),
        tag(
            "p",
            f"{len(facts.history)} epochs of at most {facts.record.request.epochs}; the model has "
            f"the weights of epoch {facts.best_epoch}, the dashed upright line. Training values "
            "come from images seen with dropout, so they may lie below those of validation.",
            class_="muted",
        ),
    )


def _side_by_side(*figures: Markup) -> Markup:
    return tag("div", figures, class_="columns")


def _loss(value: float) -> str:
    return f"{value:.4g}"


def mistakes(facts: Facts) -> Markup:
    wrong = round(facts.metrics["test"]["images"] * (1 - facts.metrics["test"]["accuracy"]))
    if not wrong:
        return card(
            "Most confident mistakes", tag("p", "Every test image was classified correctly.")
        )
    note = f"{len(facts.mistakes)} of {wrong}: those of which the model was most certain."
    if any(answer.heat for answer in facts.mistakes):
        note += " Beside each, red, the places that spoke for its answer."
    return card(
        "Most confident mistakes", tag("p", note, class_="muted"), _pictures(facts.mistakes)
    )


def samples(facts: Facts) -> Markup:
    note = f"{len(facts.samples)} of them, drawn at random."
    return card("Test images", tag("p", note, class_="muted"), _pictures(facts.samples))


def _pictures(chosen: Sequence[Answer]) -> Markup:
    return tag("div", [_figure(answer) for answer in chosen], class_="pictures")


def _figure(answer: Answer) -> Markup:
    mark, style = ("✓ ", "good") if answer.right else ("✗ ", "bad")
    caption = tag(
        "figcaption",
        tag(
            "span",
            mark,
            tag("strong", answer.predicted),
            f" {percent(answer.probability)}",
            class_=style,
        ),
        None if answer.right else (tag("br"), "is ", tag("strong", answer.label)),
    )
    pictures = [shown(answer.picture, answer.name)]
    if answer.heat is not None:
        pictures.append(shown(answer.heat, f"What spoke for {answer.predicted}"))
    both = tag("div", pictures, class_="both") if len(pictures) > 1 else pictures
    return tag("figure", both, caption, title=answer.name)

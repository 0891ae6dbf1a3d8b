"""What a report says of how the head was chosen."""

import re
from dataclasses import replace

from shared.models.manifest import HeadInfo
from tests.trainer_service.report.facts import facts
from trainer_service.report.curves import WIDTH
from trainer_service.report.page import render
from trainer_service.report.sections.evaluation import training_curves

#: The width of a letter of a font of 12 pixels whose letters all are as wide.
LETTER = 7.3
HEAD = HeadInfo(kind="regression", taps="all", features=24, strength=0.25, detail="Why this one.")


def attempt(taps, strength, val_loss):
    return {
        "taps": taps,
        "strength": strength,
        "loss": 0.1,
        "accuracy": 1.0,
        "val_loss": val_loss,
        "val_accuracy": 1 - val_loss / 2,
        "turned": False,
    }


def chosen(directory):
    known = facts(directory)
    history = [
        attempt("last", 16.0, 0.9),
        attempt("last", 0.25, 0.7),
        attempt("all", 16.0, 0.6),
        attempt("all", 0.25, 0.5),
    ]
    manifest = known.manifest.model_copy(update={"head": HEAD})
    return replace(known, manifest=manifest, history=history, best_epoch=4)


def test_a_line_for_each_of_the_taps_and_the_reason_are_shown(tmp_path):
    section = str(training_curves(chosen(tmp_path)))

    assert "Why this one." in section
    assert section.count('class="line series-1"') == section.count('class="line series-2"')
    assert "last layer" in section
    assert "all layers" in section
    assert "last three layers" not in section


def test_further_views_have_a_line_of_their_own(tmp_path):
    known = chosen(tmp_path)
    history = [*known.history, attempt("all", 0.25, 0.4) | {"views": 4}]
    section = str(training_curves(replace(known, history=history, best_epoch=5)))

    assert "all layers 0.5 at strength 0.25, all layers, 4 views 0.4 at strength 0.25" in section
    assert 'class="line series-3"' in section


def test_the_strength_of_the_model_is_marked(tmp_path):
    section = str(training_curves(chosen(tmp_path)))

    assert (
        re.findall(r"<title>(.*?)</title>", section)
        == ["strength 0.25: the weights of the model"] * 2
    )
    assert "Validation loss over 2 strengths: last layer 0.7 at strength 0.25" in section


def test_the_strengths_go_from_strong_to_weak(tmp_path):
    section = str(training_curves(chosen(tmp_path)))

    assert re.findall(r'text-anchor="middle">(.*?)<', section) == ["16", "0.25"] * 2
    # A loss that falls is a line that goes down, and SVG counts from above.
    (start, end), *_ = re.findall(r'd="M56\.0 (\S+)L412\.0 (\S+)" class="line series-1"', section)
    assert float(start) < float(end)


def test_the_last_strength_is_not_cut_off(tmp_path):
    known = chosen(tmp_path)
    weak = [row | {"strength": row["strength"] / 1024} for row in known.history]
    section = str(training_curves(replace(known, history=weak)))

    names = re.findall(r'x="(\S+)" y="\S+" text-anchor="middle">(.*?)<', section)
    assert names[-1] == ("412", "0.00024")
    assert all(float(x) + LETTER * len(name) / 2 <= WIDTH for x, name in names)


def test_what_was_not_tried_leaves_a_gap(tmp_path):
    """As the loss of the last layer has turned before."""
    known = chosen(tmp_path)
    tried = replace(known, history=[known.history[0], *known.history[2:]], best_epoch=3)
    section = str(training_curves(tried))

    assert "last layer not tried at strength 0.25, all layers 0.5 at strength 0.25" in section
    assert section.count("<strong>not tried</strong>") == 2
    assert len(re.findall(r'd="M56\.0 \d+\.\d" class="line series-1"', section)) == 2


def test_the_whole_report_names_the_head(tmp_path):
    assert render(chosen(tmp_path)).count("Why this one.") == 2


def test_a_head_of_layers_has_its_curves(tmp_path):
    section = str(training_curves(facts(tmp_path)))

    assert "5 epochs of at most" in section
    assert "Loss over 5 epochs" in section

"""What a report says of fine-tuning."""

import re
from dataclasses import replace

import pytest

from shared.models.manifest import TuneInfo, TuneMeasure
from tests.trainer_service.report.facts import facts
from trainer_service.report.page import render
from trainer_service.report.sections.tuning import tuning

INFO = TuneInfo(
    cut="block_12_add",
    published=True,
    frozen=TuneMeasure(loss=0.5, accuracy=0.8),
    tuned=TuneMeasure(loss=0.3, accuracy=0.875),
    best_epoch=2,
    epochs=3,
    views=6,
    augment=["crop", "colour"],
    learning_rate=1e-4,
    seconds=125.0,
    reason="The tuned network is published: <why>.",
)
LOSSES = (0.45, 0.3, 0.35)


def tuned(directory, losses=LOSSES, **changes):
    known = facts(directory)
    manifest = known.manifest.model_copy(update={"tune": INFO.model_copy(update=changes)})
    history = [{"val_loss": loss, "val_accuracy": 1 - loss / 2} for loss in losses]
    return replace(known, manifest=manifest, tune_history=history)


def test_both_networks_and_what_was_decided_are_shown(tmp_path):
    section = str(tuning(tuned(tmp_path)))

    assert "<p>The tuned network is published: &lt;why&gt;.</p>" in section
    rows = [
        re.findall(r"<t[hd].*?>(.*?)</t", row) for row in re.findall(r"<tr>(.*?)</tr>", section)
    ]
    assert rows[1:] == [
        ["Before tuning", "no", "0.5000", "80.0 %"],
        ["Tuned", "yes", "0.3000", "87.5 %"],
    ]
    for fact in ("the layers behind block_12_add", "6 (crop, colour)", "0.0001", "2 min 5 s"):
        assert f"<dd>{fact}</dd>" in section


def test_the_curves_have_the_level_of_before_and_the_published_epoch(tmp_path):
    section = str(tuning(tuned(tmp_path)))

    assert "Validation loss over 3 epochs: tuned 0.3 at epoch 2, before tuning 0.5" in section
    assert "<title>epoch 2: the weights of the model</title>" in section
    levels = re.findall(r'd="([^"]*)" class="line series-2 dashed"', section)
    heights = re.findall(r" (\S+?)(?=L|$)", levels[0])
    assert len(heights) == 3
    assert len(set(heights)) == 1
    assert (
        len(re.findall(r"[ML]", re.findall(r'd="([^"]*)" class="line series-1"', section)[0])) == 3
    )


def test_what_was_not_published_is_not_said_to_be(tmp_path):
    known = tuned(
        tmp_path, (0.62, 0.6, float("nan")), published=False, best_epoch=0, tuned=INFO.frozen
    )
    section = str(tuning(known))

    assert "<title>epoch 2: the best, but not of the model</title>" in section
    assert "the weights of the model" not in section
    assert "tried, but not published" in render(known)


@pytest.mark.parametrize("losses", [(), (float("nan"),)])
def test_what_was_not_trained_or_diverged_is_told_without_figures(tmp_path, losses):
    nothing = {"published": False, "frozen": None, "tuned": None, "epochs": 0, "best_epoch": 0}
    section = str(tuning(tuned(tmp_path, losses, **nothing)))

    assert "&lt;why&gt;" in section
    assert "<table>" not in section
    assert "Epochs" not in section
    assert ("<svg" in section) == bool(losses)


def test_all_of_a_network_is_said_so(tmp_path):
    assert "all of the network" in str(tuning(tuned(tmp_path, cut="pixels", augment=[], views=1)))


def test_a_report_has_the_section_only_if_tuning_was_asked_for(tmp_path):
    without, with_it = render(facts(tmp_path)), render(tuned(tmp_path))

    assert "<h2>Fine-tuning</h2>" not in without
    assert "<dt>Fine-tuning</dt><dd>no</dd>" in without
    assert "<h2>Fine-tuning</h2>" in with_it
    assert "<dd>yes, the layers behind block_12_add</dd>" in with_it

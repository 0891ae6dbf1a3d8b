"""The charts of a training in the trainer's page."""

import pytest
from playwright.sync_api import expect

from tests.support.trainer.builders import new_record
from trainer_service.store.events.events import StrengthEvent
from trainer_service.store.records.training_record import State

pytestmark = pytest.mark.integration

CUT_OFF = """charts => charts.flatMap(chart => [...chart.querySelectorAll("text")].filter(text => {
  const [inner, outer] = [text.getBoundingClientRect(), chart.getBoundingClientRect()];
  return inner.left < outer.left || inner.right > outer.right;
}).map(text => text.textContent))"""


@pytest.mark.parametrize("width", [360, 1280])
def test_no_text_of_a_chart_is_cut_off(page, stores, width):
    record = new_record(State.HEAD)
    stores.trainings.create(record)
    strengths = [4.0**power for power in range(-1, -7, -1)]
    stores.events.append(
        record.id,
        [
            StrengthEvent(
                attempt=number,
                attempts=len(strengths),
                taps="last",
                strength=strength,
                loss=0.1,
                accuracy=0.9,
                val_loss=1 / number,
                val_accuracy=1 - 1 / (2 * number),
            )
            for number, strength in enumerate(strengths, 1)
        ],
    )
    page.set_viewport_size({"width": width, "height": 740})
    page.goto(f"/#/trainings/{record.id}")

    expect(page.locator(".chart text", has_text="0.00024").first).to_be_visible()
    assert page.locator(".chart").evaluate_all(CUT_OFF) == []

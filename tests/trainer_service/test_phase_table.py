"""The table of phases, and the places that repeat its order."""

import re
from pathlib import Path

from trainer_service import pages
from trainer_service.phase_table import PHASES, is_before_plan, phase_of
from trainer_service.queue.steps import TASKS
from trainer_service.store.records.training_record import State

PAGE = Path(pages.__path__[0]) / "parts" / "phases.js"


def test_every_state_is_a_phase_or_an_end():
    assert [phase.state for phase in PHASES] == [state for state in State if not state.ended]
    assert all(phase_of(state) is None for state in State if state.ended)
    assert {phase.task for phase in PHASES} < set(TASKS)


def test_only_what_was_not_prepared_is_before_the_plan():
    assert [state for state in State if is_before_plan(state)] == [State.QUEUED, State.PREPARING]


def test_the_page_shows_the_phases_in_the_same_order():
    listed = re.search(r"const PHASES = \{(.*?)\n\};", PAGE.read_text("utf-8"), re.DOTALL)
    assert listed is not None
    assert re.findall(r"^  (\w+):", listed[1], re.MULTILINE) == [phase.state for phase in PHASES]

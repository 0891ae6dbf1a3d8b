"""A service that is open to others without keys says so when it starts."""

import pytest

from tests.support.processes.predictor_process import running_predictor

KEY = "the-key-of-this-test"
WARNING = "everybody who reaches the port can use this service. Set HEADSTART_API_KEYS"


@pytest.mark.integration
@pytest.mark.parametrize(
    ("settings", "warned"),
    [({"host": "0.0.0.0"}, True), ({"host": "0.0.0.0", "api_keys": KEY}, False), ({}, False)],
)
def test_the_log_warns_of_an_open_door(tmp_path, settings, warned):
    with running_predictor(tmp_path / "store", tmp_path / "log", **settings) as predictor:
        assert (WARNING in predictor.log) is warned
        assert KEY not in predictor.log

"""What the launcher tells the services of each other."""

import pytest

from launcher.services import free_port, introduce
from predictor_service.settings import PredictorSettings
from trainer_service.settings import TrainerSettings


@pytest.fixture
def introduced():
    """Return a function that introduces services with more settings to each other."""

    def made(**more):
        trainer = TrainerSettings(trainer_port=8000, **more)
        return introduce(trainer, PredictorSettings(predictor_port=8001, **more))

    return made


def test_on_this_machine_the_pages_use_both_services(introduced):
    trainer, predictor = introduced()

    assert predictor.trainer_url == "http://127.0.0.1:8000"
    assert trainer.allowed_origins == predictor.allowed_origins
    assert set(trainer.read_allowed_origins()) == {
        f"http://{name}:{port}" for name in ("127.0.0.1", "localhost") for port in (8000, 8001)
    }


def test_where_others_reach_them_nothing_is_opened_for_them(introduced):
    trainer, predictor = introduced(host="0.0.0.0")

    assert (predictor.trainer_url, trainer.allowed_origins, predictor.allowed_origins) == (
        None,
        None,
        None,
    )


def test_what_is_set_stays_so(introduced):
    trainer, predictor = introduced(
        allowed_origins="https://a.example", trainer_url="https://b.example"
    )

    assert predictor.trainer_url == "https://b.example"
    assert trainer.allowed_origins == predictor.allowed_origins == "https://a.example"


def test_free_ports_are_different_ones():
    assert len({free_port() for _ in range(600)}) == 600

"""A Redis with a password, which comes from a file."""

import pytest
from pydantic import ValidationError

from launcher.services import redis_server
from trainer_service.settings import TrainerSettings
from trainer_service.store.events.event_log import connect

PASSWORD = "p@ss:w/rd?#%"


@pytest.fixture
def password_file(tmp_path):
    file = tmp_path / "password"
    file.write_text(f"{PASSWORD}\n")
    return file


@pytest.mark.integration
def test_the_password_opens_redis(tmp_path, password_file):
    with redis_server(tmp_path, tmp_path) as url:
        connect(url).config_set("requirepass", PASSWORD)
        settings = TrainerSettings(redis_url=url, redis_password_file=password_file)

        assert connect(settings.redis_url).ping()


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("redis://redis:6379/0", "redis://:p%40ss%3Aw%2Frd%3F%23%25@redis:6379/0"),
        ("rediss://old@redis/1?a=b", "rediss://:p%40ss%3Aw%2Frd%3F%23%25@redis/1?a=b"),
    ],
)
def test_it_becomes_part_of_the_url(password_file, url, expected):
    settings = TrainerSettings(redis_url=url, redis_password_file=password_file)

    assert settings.redis_url == expected


def test_a_missing_file_ends_the_start_in_words(tmp_path):
    with pytest.raises(ValidationError, match="HEADSTART_REDIS_PASSWORD_FILE: expected a file"):
        TrainerSettings(redis_password_file=tmp_path / "nowhere")

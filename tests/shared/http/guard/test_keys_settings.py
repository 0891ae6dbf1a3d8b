"""Where keys come from, and that mistakes end the start rather than leave the door open."""

import subprocess
import sys

import pytest
from pydantic import ValidationError

from shared.http.guard.keys import ApiKeys
from shared.http.server.addresses import is_loopback
from shared.settings import SharedSettings

GOOD = "a-key-of-some-length"


def test_keys_of_environment_and_file_are_together(tmp_path, monkeypatch):
    file = tmp_path / "keys"
    file.write_text(f"{GOOD}-3\n\n  {GOOD}-4  \n")
    monkeypatch.setenv("HEADSTART_API_KEYS", f"{GOOD}-1, {GOOD}-2,")
    monkeypatch.setenv("HEADSTART_API_KEYS_FILE", str(file))
    settings = SharedSettings()

    assert settings.read_api_keys() == tuple(f"{GOOD}-{i}" for i in (1, 2, 3, 4))
    assert GOOD not in repr(settings)
    assert all(ApiKeys.of(settings).accept(key) for key in settings.read_api_keys())


def test_an_empty_variable_is_no_key():
    assert SharedSettings(api_keys="").read_api_keys() == ()
    assert not ApiKeys.of(SharedSettings(api_keys=" , "))


@pytest.mark.parametrize("key", ["short", "with a space in the middle", "schlüssel-schlüssel"])
def test_weak_and_unusable_keys_are_refused_without_telling_them(key):
    with pytest.raises(ValidationError, match="HEADSTART_API_KEYS: expected keys of at least 16"):
        SharedSettings(api_keys=f"{GOOD},{key}")


@pytest.mark.parametrize("content", [None, b"", b"\n \n", b"\xff\xfe\xff"])
def test_a_file_without_keys_is_no_open_door(tmp_path, content):
    file = tmp_path / "keys"
    if content is not None:
        file.write_bytes(content)

    with pytest.raises(ValidationError, match="HEADSTART_API_KEYS_FILE: "):
        SharedSettings(api_keys_file=file)


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.8.8", True),
        ("::1", True),
        ("localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.7", False),
        ("example.org", False),
    ],
)
def test_loopback_is_known(host, expected):
    assert is_loopback(host) is expected


@pytest.mark.process
@pytest.mark.parametrize("service", ["trainer_service", "predictor_service"])
def test_a_weak_key_ends_the_start_in_one_sentence(service, tmp_path):
    environment = {"HEADSTART_API_KEYS": "secret", "HEADSTART_STORE": str(tmp_path)}
    ended = subprocess.run(
        [sys.executable, "-m", service],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )

    assert ended.returncode == 1
    assert ended.stderr.startswith("HEADSTART_API_KEYS: expected keys of at least 16")
    assert ended.stderr.count("\n") == 1
    assert "secret" not in ended.stderr + ended.stdout

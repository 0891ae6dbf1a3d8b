"""Which pictures the demo trains on."""

import pytest

from launcher.demo import _source
from launcher.errors import LaunchError


def test_without_data_it_writes_the_handwritten_digits(tmp_path):
    folder = _source(tmp_path, None)

    names = [file.name for file in folder.iterdir()]
    assert len(names) == 1797
    assert {name[0] for name in names} == set("0123456789")
    assert folder.parent == tmp_path / "datasets"


def test_a_folder_of_the_user_is_taken_where_it_lies(tmp_path, monkeypatch):
    (tmp_path / "pets").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))

    for written in ("pets", "~/pets"):
        assert _source(tmp_path / "var", (tmp_path / written).relative_to(tmp_path)) == (
            tmp_path / "pets"
        )
    with pytest.raises(LaunchError, match="dogs does not exist"):
        _source(tmp_path / "var", tmp_path / "dogs")

"""Looking through the files of a version, of any depth."""

import errno

import pytest

from predictor_service.models.fingerprint import walk
from tests.support.inputs.odd_files import DEEP, make_deep, make_pets_beside_a_secret
from trainer_service.store.files.removal import remove_tree


@pytest.fixture
def root(tmp_path):
    return make_pets_beside_a_secret(tmp_path)


def test_a_folder_of_any_depth_is_looked_through(root):
    make_deep(root / "cat")
    errors: list[OSError] = []

    found = [entry.name for entry in walk(root, errors.append)]
    assert sorted(set(found)) == ["1.png", "a", "cat", "file"]
    assert found.count("a") == DEEP
    assert errors == []
    remove_tree(root)


def test_what_can_not_be_listed_keeps_nothing_else_from_being_looked_at(root):
    make_deep(root / "cat", name="a" * 200)
    make_deep(root, 2, "b")
    errors: list[OSError] = []

    found = [entry.name for entry in walk(root, errors.append)]
    assert [error.errno for error in errors] == [errno.ENAMETOOLONG]
    assert found.count("b") == 2
    remove_tree(root)

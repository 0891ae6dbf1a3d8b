"""The id of a store: the same for every process, and made again if it is damaged."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from shared.identifiers import is_id
from trainer_service.store.identity import ID_FILE, store_id


def test_all_processes_agree_on_it(tmp_path):
    with ThreadPoolExecutor(8) as pool:
        found = set(pool.map(lambda _: store_id(tmp_path), range(40)))

    assert found == {store_id(tmp_path)}
    assert is_id(*found)


def test_two_stores_have_two(tmp_path):
    stores = tmp_path / "a", tmp_path / "b"
    for store in stores:
        store.mkdir()

    assert len({store_id(store) for store in stores}) == 2


@pytest.mark.parametrize("content", [b"", b"\0" * 16, b"x"])
def test_a_damaged_one_is_made_again(tmp_path, content):
    (tmp_path / ID_FILE).write_bytes(content)

    assert is_id(made := store_id(tmp_path))
    assert store_id(tmp_path) == made


def test_one_that_an_editor_has_saved_is_the_same(tmp_path):
    made = store_id(tmp_path)
    (tmp_path / ID_FILE).write_text(f"{made}\n")

    assert store_id(tmp_path) == made


def test_a_store_that_is_not_there_has_none(tmp_path):
    assert store_id(tmp_path / "store") is None
    assert not (tmp_path / "store").exists()

"""Removing what others have left, of any depth."""

import errno
import os
import resource
from pathlib import Path

import pytest

from tests.support.inputs.odd_files import make_deep, make_pets_beside_a_secret
from trainer_service.store.files.removal import remove_tree


@pytest.fixture
def root(tmp_path):
    return make_pets_beside_a_secret(tmp_path)


@pytest.fixture
def few_files():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    highest = max(int(opened.name) for opened in Path("/proc/self/fd").iterdir())
    resource.setrlimit(resource.RLIMIT_NOFILE, (highest + 100, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


@pytest.mark.parametrize("name", ["a", "a" * 200])
def test_a_folder_of_any_depth_is_removed(root, few_files, name):
    make_deep(root / "cat", name=name)
    make_deep(root / "cat", 3, "b")

    remove_tree(root)
    assert sorted(path.name for path in root.parent.iterdir()) == ["out"]


def test_links_are_removed_and_not_followed(root):
    (root / "cat/link").symlink_to(root.parent / "out")
    (root / "link").symlink_to(root.parent / "out")
    (root.parent / "pets-link").symlink_to(root)

    remove_tree(root.parent / "pets-link")
    assert (root / "cat/1.png").exists()
    remove_tree(root)
    assert (root.parent / "out/1.png").read_bytes() == b"secret"
    assert sorted(path.name for path in root.parent.iterdir()) == ["out"]


def test_a_file_is_removed_and_one_that_is_gone_is_no_fault(root):
    remove_tree(root / "cat/1.png")
    remove_tree(root / "cat/1.png")
    assert list(root.iterdir()) == [root / "cat"]
    assert list((root / "cat").iterdir()) == []


def test_what_can_not_be_removed_is_told_and_keeps_nothing_else(root, monkeypatch):
    (root / "dog/young").mkdir(parents=True)
    (root / "dog/young/2.png").write_bytes(b"dog")
    unlink = os.unlink

    def refuse_cats(name, **arguments):
        if name == "1.png":
            raise PermissionError(errno.EPERM, os.strerror(errno.EPERM), name)
        unlink(name, **arguments)

    monkeypatch.setattr(os, "unlink", refuse_cats)
    with pytest.raises(PermissionError, match=r"1\.png"):
        remove_tree(root)
    assert [path for path in root.rglob("*") if path.is_file()] == [root / "cat/1.png"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root needs no permissions")
def test_missing_permissions_do_not_prevent_removal(root):
    (root / "cat").chmod(0)
    remove_tree(root)
    assert not root.exists()

import errno
import os
import resource
from pathlib import Path

import pytest

from shared.files import (
    NoPlainFile,
    is_fault_of_the_file,
    open_below,
    open_folder,
    remove_tree,
    walk,
)
from tests.odd_files import make_deep, make_socket


@pytest.mark.parametrize("code", ["ENOENT", "EISDIR", "EACCES", "ENOTDIR"])
def test_what_the_system_says_of_a_file_is_a_verdict(code):
    number = getattr(errno, code)

    assert is_fault_of_the_file(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("code", ["ESTALE", "EIO", "EMFILE", "ENOMEM", "ENOSPC", "ETIMEDOUT"])
def test_what_the_system_says_of_the_machine_is_none(code):
    number = getattr(errno, code)

    assert not is_fault_of_the_file(OSError(number, os.strerror(number)))


@pytest.fixture
def root(tmp_path):
    """A folder `pets` with `cat/1.png`, beside a secret that it must not lead to."""
    (tmp_path / "pets/cat").mkdir(parents=True)
    (tmp_path / "pets/cat/1.png").write_bytes(b"cat")
    (tmp_path / "out").mkdir()
    (tmp_path / "out/1.png").write_bytes(b"secret")
    return tmp_path / "pets"


def test_a_file_is_opened_below_a_folder(root):
    (root.parent / "link").symlink_to(root)
    with open_folder(root) as folder:
        for start in (root, root.parent / "link", folder):
            with open_below(start, "cat/1.png") as file:
                assert file.read() == b"cat"


@pytest.mark.parametrize("name", ["1.png", "dog/1.png", "dog/deep/1.png"])
def test_no_link_is_followed_on_the_way_to_a_file(root, name):
    (root / "1.png").symlink_to(root.parent / "out/1.png")
    (root / "dog").symlink_to(root.parent / "out")
    (root.parent / "out/deep").symlink_to(root.parent / "out")

    with pytest.raises(OSError, match=r"symbolic|Not a directory") as caught:
        open_below(root, name)
    assert is_fault_of_the_file(caught.value)


@pytest.mark.parametrize("name", ["../out/1.png", "cat/../../out/1.png", "", ".", "/etc/passwd"])
def test_no_name_leads_out_of_a_folder(root, name):
    with pytest.raises(OSError, match="leads out of its folder") as caught:
        open_below(root, name)
    assert is_fault_of_the_file(caught.value)


def test_what_is_no_plain_file_is_not_opened_and_nothing_waits_for_it(root):
    os.mkfifo(root / "pipe")
    make_socket(root / "socket")
    for name in ("pipe", "socket", "cat"):
        with pytest.raises(NoPlainFile, match="not a plain file") as caught:
            open_below(root, name)
        assert is_fault_of_the_file(caught.value)


def test_a_pipe_that_is_put_in_place_at_the_last_moment_is_told(root, monkeypatch):
    os.mkfifo(root / "pipe")
    plain = (root / "cat/1.png").stat()
    monkeypatch.setattr(os, "stat", lambda *_, **__: plain)

    with pytest.raises(NoPlainFile):
        open_below(root, "pipe")


def test_opening_leaves_no_descriptor_behind(root):
    opened = Path("/proc/self/fd")
    before = len(list(opened.iterdir()))
    open_below(root, "cat/1.png").close()
    for name in ("cat/2.png", "bird/1.png", "cat"):
        with pytest.raises(OSError, match="Errno"):
            open_below(root, name)
    assert len(list(opened.iterdir())) == before


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


def test_a_folder_of_any_depth_is_looked_through(root):
    make_deep(root / "cat")
    errors: list[OSError] = []

    found = [entry.name for entry in walk(root, errors.append)]
    assert sorted(set(found)) == ["1.png", "a", "cat", "file"]
    assert found.count("a") == 1500
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
def test_permissions_that_were_taken_keep_nothing(root):
    (root / "cat").chmod(0)
    remove_tree(root)
    assert not root.exists()

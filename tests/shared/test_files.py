import errno
import os
from pathlib import Path

import pytest

from shared.files import (
    NoPlainFile,
    full_disk_named,
    is_fault_of_the_file,
    open_below,
    open_folder,
)
from tests.support.inputs.odd_files import make_pets_beside_a_secret, make_socket


@pytest.mark.parametrize("code", ["ENOENT", "EISDIR", "EACCES", "ENOTDIR"])
def test_errors_about_the_file_are_recognised(code):
    number = getattr(errno, code)

    assert is_fault_of_the_file(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("code", ["ESTALE", "EIO", "EMFILE", "ENOMEM", "ENOSPC", "ETIMEDOUT"])
def test_errors_about_the_machine_are_recognised(code):
    number = getattr(errno, code)

    assert not is_fault_of_the_file(OSError(number, os.strerror(number)))


@pytest.fixture
def root(tmp_path):
    return make_pets_beside_a_secret(tmp_path)


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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EDQUOT])
def test_a_library_that_says_that_the_disk_is_full_is_believed(tmp_path, code):
    """TensorFlow removes what it has written so far: by then there is space again."""
    said = f"variables/part-00000.tempstate; {os.strerror(code)} [Op:SaveV2]"

    with pytest.raises(OSError, match="No space left") as caught, full_disk_named(tmp_path):
        raise RuntimeError(said)
    assert caught.value.errno == errno.ENOSPC
    assert said in str(caught.value.__cause__)


def test_any_other_error_is_raised_as_it_is_while_there_is_space(tmp_path):
    with pytest.raises(RuntimeError, match="no variables"), full_disk_named(tmp_path):
        raise RuntimeError("no variables")

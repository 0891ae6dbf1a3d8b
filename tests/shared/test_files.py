import errno
import os

import pytest

from shared.files import is_fault_of_the_file


@pytest.mark.parametrize("code", ["ENOENT", "EISDIR", "EACCES", "ENOTDIR"])
def test_what_the_system_says_of_a_file_is_a_verdict(code):
    number = getattr(errno, code)

    assert is_fault_of_the_file(OSError(number, os.strerror(number)))


@pytest.mark.parametrize("code", ["ESTALE", "EIO", "EMFILE", "ENOMEM", "ENOSPC", "ETIMEDOUT"])
def test_what_the_system_says_of_the_machine_is_none(code):
    number = getattr(errno, code)

    assert not is_fault_of_the_file(OSError(number, os.strerror(number)))

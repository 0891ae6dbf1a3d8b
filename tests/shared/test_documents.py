"""Small files, read whatever lies in their place; test_model_store.py has the rest."""

import os
import tracemalloc
from pathlib import Path

import pytest

from shared.documents import MOST_BYTES, Unreadable, read_document

KERNELS = Path("/proc/version")


def test_a_file_that_is_too_large_is_not_read_at_all(tmp_path):
    file = tmp_path / "manifest.json"
    file.touch()
    os.truncate(file, MOST_BYTES + 1)
    tracemalloc.start()
    try:
        with pytest.raises(Unreadable, match=f"at most {MOST_BYTES} bytes"):
            read_document(file)
        assert tracemalloc.get_traced_memory()[1] < 1 << 20
    finally:
        tracemalloc.stop()


@pytest.mark.skipif(not KERNELS.exists(), reason="only Linux has such a file")
def test_a_file_that_tells_no_size_is_limited_as_well():
    assert read_document(KERNELS).startswith(b"Linux")
    with pytest.raises(Unreadable, match="at most 3 bytes"):
        read_document(KERNELS, 3)


def test_a_document_may_be_as_large_as_is_allowed(tmp_path):
    file = tmp_path / "pin.json"
    file.write_bytes(b"12345678")

    assert read_document(file, 8) == b"12345678"
    with pytest.raises(Unreadable, match=r"pin\.json .*: it should have at most 7 bytes"):
        read_document(file, 7)

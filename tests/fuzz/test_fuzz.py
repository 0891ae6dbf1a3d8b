"""A few seconds of coverage-guided fuzzing; `make fuzz` does minutes."""

import re
from importlib.util import find_spec

import pytest

from tests.fuzz.run import KINDS, fuzz

SECONDS = 4


@pytest.mark.slow
@pytest.mark.skipif(find_spec("atheris") is None, reason="atheris is not installed: make fuzz does")
@pytest.mark.parametrize("kind", KINDS)
def test_nothing_unexpected_is_found(kind, tmp_path):
    ended = fuzz(kind, SECONDS, tmp_path)

    assert ended.returncode == 0, ended.stderr[-3000:]
    assert int(re.search(r"#(\d+)\s+DONE", ended.stderr)[1]) > 50
    assert [path.name for path in tmp_path.iterdir()] == [kind]

"""The tests of everything, and what they share."""

import pytest

# Without this, a failing assert in these would not show the values.
pytest.register_assert_rewrite("tests.support", "tests.end_to_end")

"""The tests of everything, and what they share."""

import pytest

# Without it, what fails in these would not say what came instead.
pytest.register_assert_rewrite("tests.support", "tests.end_to_end")

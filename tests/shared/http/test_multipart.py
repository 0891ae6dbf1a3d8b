"""Forms are read alike however the network cuts them into pieces."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.errors import InvalidRequest
from shared.http.multipart import FormReader

TYPE = "multipart/form-data; boundary=b"
FORM = (
    b'--b\r\nContent-Disposition: form-data; name="model"\r\n\r\npets\r\n'
    b'--b\r\nContent-Type: image/png\r\ncontent-disposition: form-data; name="file"; '
    b'filename="a b.png"\r\n\r\n\x00\r\n--\x00\r\n--b--\r\n'
)
PARTS = [("model", None, b"pets"), ("file", b"a b.png", b"\x00\r\n--\x00")]


class Writer:
    def __init__(self, part, parts):
        self.part, self.parts, self.data = part, parts, b""

    def write(self, data):
        self.data += data

    def close(self):
        self.parts.append((*self.part, self.data))


def read(body, cuts=()):
    parts = []
    reader = FormReader(TYPE, lambda part: Writer(part, parts))
    edges = [0, *sorted(cuts), len(body)]
    for start, end in itertools.pairwise(edges):
        reader.write(body[start:end])
    reader.finish()
    return parts


@given(st.sets(st.integers(0, len(FORM))))
def test_a_form_is_read_in_any_pieces(cuts):
    assert read(FORM, cuts) == PARTS


@given(st.integers(0, len(FORM) - 5))
def test_a_form_that_ends_early_is_refused(end):
    with pytest.raises(InvalidRequest, match="ends before its closing boundary"):
        read(FORM[:end])


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (b"Content-Type: image/png", "needs a Content-Disposition with a name"),
        (b'Content-Disposition: attachment; name="file"', "needs a Content-Disposition"),
        (b'Content-Disposition: form-data; name="\xff"', r"should be UTF-8. Received: b'\\xff'"),
    ],
)
def test_a_part_without_a_name_is_refused(header, expected):
    with pytest.raises(InvalidRequest, match=expected):
        read(b"--b\r\n" + header + b"\r\n\r\nx\r\n--b--\r\n")

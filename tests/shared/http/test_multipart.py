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


def named(disposition):
    """Return the file name of a part with a Content-Disposition of these parameters."""
    head = b'--b\r\nContent-Disposition: form-data; name="f"; ' + disposition
    [(_, name, _)] = read(head + b"\r\n\r\nx\r\n--b--\r\n")
    return name


@pytest.mark.parametrize(
    "disposition",
    [
        'filename="Kätzchen/1.png"'.encode(),
        b"filename*=UTF-8''K%C3%A4tzchen%2F1.png",
        b"filename=\"K_tzchen/1.png\"; filename*=utf-8'de'K%C3%A4tzchen/1.png",
        b"filename=\"K_tzchen/1.png\"; filename*=iso-8859-1''K%E4tzchen/1.png",
        b'filename="=?utf-8?B?S8OkdHpjaGVuLzEucG5n?="',
        b'filename="=?iso-8859-1?Q?K=E4tzchen/1.png?="',
    ],
)
def test_names_arrive_however_the_client_writes_their_letters(disposition):
    assert named(disposition).decode() == "Kätzchen/1.png"


@pytest.mark.parametrize(
    ("disposition", "name"),
    [
        (b'filename="100%25.png"', b"100%25.png"),
        (b'filename="=?.png"', b"=?.png"),
        (b'filename="=?no-charset?B?S8Ok?="', b"=?no-charset?B?S8Ok?="),
        (b"filename=\"a.png\"; filename*=no-charset''b.png", b"a.png"),
        (b"filename=\"a.png\"; filename*=UTF-8''%FF", b"a.png"),
        (b'filename="\xff.png"', b"\xff.png"),
    ],
)
def test_other_names_stay_as_they_are(disposition, name):
    assert named(disposition) == name


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

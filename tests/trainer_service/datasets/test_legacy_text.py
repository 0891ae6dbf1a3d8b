"""Names and tables in the code pages of former times."""

import pytest

from trainer_service.datasets.legacy_text import guess_encoding

NAMES = {
    "cp850": "Haustiere/K\u00e4tzchen/1.jpg Gr\u00f6\u00dfe/V\u00f6gel/3.jpg",
    "cp437": "K\u00e4tzchen/1.jpg H\u00fcndchen/2.jpg",
    "cp1252": "Caf\u00e9/1.jpg Cr\u00e8me br\u00fbl\u00e9e/2.jpg",
    "gb18030": "\u6570\u636e/\u732b/1.jpg \u6570\u636e/\u72d7/2.jpg",
    "gbk": "\u732b/1.jpg \u72d7/2.jpg",
    "big5": "\u8cc7\u6599/\u8c93/1.jpg \u8cc7\u6599/\u72d7/2.jpg",
    "shift_jis": "\u5199\u771f/\u732b/1.jpg \u306d\u3053/\u72ac/2.jpg",
    "euc_kr": "\uc0ac\uc9c4/\uace0\uc591\uc774/1.jpg \uc0ac\uc9c4/\uac1c/2.jpg",
    "cp866": "\u0434\u0430\u043d\u043d\u044b\u0435/\u043a\u043e\u0448\u043a\u0430/1.jpg",
    "cp1251": "\u0434\u0430\u043d\u043d\u044b\u0435/\u043a\u043e\u0448\u043a\u0430/1.jpg",
}


@pytest.mark.parametrize("in_zip", [True, False])
@pytest.mark.parametrize("encoding", NAMES)
def test_a_code_page_is_told_by_a_few_words(encoding, in_zip):
    data = NAMES[encoding].encode(encoding)

    assert data.decode(guess_encoding(data, in_zip=in_zip)) == NAMES[encoding]


def test_bytes_of_no_known_encoding_get_a_guess():
    assert b"\xff\xfe\x80".decode(guess_encoding(b"\xff\xfe\x80"), "replace")
    assert guess_encoding(b"")

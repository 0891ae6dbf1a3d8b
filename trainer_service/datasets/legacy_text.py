"""Guesses the code page of text that is not UTF-8, such as names in zips that Windows has packed.

Libraries that guess encodings need sentences; a name has a word or two. What is known of these is
that they are words: of one script, of common characters, and not of signs.
"""

import re
import unicodedata
from collections.abc import Callable
from functools import cache

# Those of DOS come first for names in zips, those of Windows for tables.
_DOS = ("cp437", "cp850", "cp866", "gb18030", "shift_jis", "big5", "euc_kr", "cp1251", "cp1252")
_WINDOWS = ("cp1252", "gb18030", "shift_jis", "big5", "euc_kr", "cp1251", "cp850", "cp866")
_SAMPLED = 1 << 14
_MOST_WORDS = 200
_SEVERAL = 4

_WORD = re.compile(rb"[A-Za-z]*[\x80-\xff][A-Za-z\x40-\xff]*")
_BETWEEN = re.compile(r"[\W\d_]+")


def guess_encoding(data: bytes, *, in_zip: bool = False) -> str:
    """Return the likeliest code page of text.

    Args:
        data: the text; its beginning suffices.
        in_zip: whether it is of names in a zip, which are written in the code pages of DOS.
    """
    words = list(dict.fromkeys(_WORD.findall(data[:_SAMPLED])))[:_MOST_WORDS]
    worth = {
        name: sum(_worth(word, name) for word in words) for name in (_DOS if in_zip else _WINDOWS)
    }
    best = max(worth, key=lambda name: worth[name])
    if best == "gb18030" and worth["euc_kr"] == worth[best]:
        # A few Chinese characters may by chance be Korean ones too, many are not.
        several = len(set(b"".join(words).decode("euc_kr", "ignore"))) >= _SEVERAL
        return "euc_kr" if several else best
    return best


def _worth(word: bytes, encoding: str) -> float:
    """Return how much a word looks like one in an encoding, from 0 to 1 for each of its bytes."""
    try:
        text = word.decode(encoding)
    except UnicodeDecodeError:
        return 0.0
    parts = [part for part in _BETWEEN.split(text) if part]
    good = sum(len(part) for part in parts if _is_word(part, _SCRIPTS[encoding]))
    return good / len(text) * len(word)


def _is_word(part: str, is_common: Callable[[str], bool]) -> bool:
    """Return whether letters are all common ones of a script, in a usual mixture of cases."""
    latin = sum(char.isascii() for char in part)
    others = [char for char in part if not char.isascii()]
    if not all(map(is_common, others)):
        return False
    if all(map(_is_latin, others)):
        if len(others) > max(latin, 1):
            return False  # as no language of western Europe writes
    elif latin:
        return False
    return part in {part.lower(), part.upper(), part.capitalize()}


@cache
def _is_latin(char: str) -> bool:
    return unicodedata.name(char, "").startswith("LATIN ")


@cache
def _is_western(char: str) -> bool:
    """Return whether a letter is one of western Europe; others are rare in its code pages."""
    return _is_latin(char) and ord(char) <= ord("\u0178")


@cache
def _is_cyrillic(char: str) -> bool:
    return "\u0410" <= char <= "\u044f" or char in "\u0401\u0451"


@cache
def _is_hangul(char: str) -> bool:
    return "\uac00" <= char <= "\ud7a3"


@cache
def _is_japanese(char: str) -> bool:
    if "\u3041" <= char <= "\u30fc":
        return True
    return _leads(char, "shift_jis", 0x88, 0x98)


@cache
def _is_simplified(char: str) -> bool:
    return _leads(char, "gb2312", 0xB0, 0xD7)


@cache
def _is_traditional(char: str) -> bool:
    return _leads(char, "big5", 0xA4, 0xC6)


def _leads(char: str, encoding: str, first: int, last: int) -> bool:
    """Return whether a character is one of the common ones, which a standard lists first."""
    try:
        data = char.encode(encoding)
    except UnicodeEncodeError:
        return False
    return len(data) > 1 and first <= data[0] <= last


_SCRIPTS: dict[str, Callable[[str], bool]] = {
    "cp437": _is_western,
    "cp850": _is_western,
    "cp1252": _is_western,
    "cp866": _is_cyrillic,
    "cp1251": _is_cyrillic,
    "gb18030": _is_simplified,
    "big5": _is_traditional,
    "shift_jis": _is_japanese,
    "euc_kr": _is_hangul,
}

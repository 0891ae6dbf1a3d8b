"""The names of the files of a zip, in whatever code page they were written."""

import struct
import zipfile
import zlib
from collections.abc import Iterator, Sequence

from trainer_service.datasets.legacy_text import guess_encoding
from trainer_service.datasets.records import MAX_NAME
from trainer_service.datasets.sources.names import shown

#: The bit of a zip's flags that says that a name is UTF-8.
_UTF8 = 0x800
_LOCAL_HEADER = struct.Struct("<4s22xHH")
#: Info-ZIP's extra field with a name in UTF-8, and the checksum of the name that it stands for.
_UNICODE_PATH = 0x7075
_FIELD = struct.Struct("<HH")
_PATH = struct.Struct("<BI")
_DOS = "cp437"
_UTF8_NAME = "utf-8"


class ZipNames:
    """Tells the names of the files of a zip.

    A name without the flag for UTF-8 may be UTF-8 all the same: macOS and many libraries set no
    flag. Else it is in a code page that the zip does not name, and that all its names tell.

    Args:
        members: all files of the zip.
    """

    def __init__(self, members: Sequence[zipfile.ZipInfo]) -> None:
        unsaid = [raw for member in members if (raw := _unsaid_name(member))]
        # Of a few names one may be UTF-8 by chance; of one archive all are written alike.
        self._is_utf8 = all(map(_is_utf8, unsaid))
        self._encoding = _UTF8_NAME
        if not self._is_utf8:
            self._encoding = guess_encoding(b"\n".join(unsaid), in_zip=True)
        self._unsaid = unsaid
        self._differing: list[str] = []

    def name(self, member: zipfile.ZipInfo) -> str:
        """Return the name of a file."""
        raw = _unsaid_name(member)
        if raw is not None:
            return raw.decode(self._encoding, "replace")
        return _unicode_path(member) or member.filename

    def allow_another(self, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> None:
        """Have a file opened whose name beside its bytes is not that of the zip's list.

        zipfile refuses it. Tools that rename a file in a zip change the list alone.
        """
        file = archive.fp
        if file is None:
            return
        file.seek(member.header_offset)
        header = file.read(_LOCAL_HEADER.size)
        if len(header) < _LOCAL_HEADER.size:
            return
        _, length, _ = _LOCAL_HEADER.unpack(header)
        if length > MAX_NAME:
            return
        encoding = _UTF8_NAME if member.flag_bits & _UTF8 else _DOS
        name = file.read(length).decode(encoding)
        if name != member.orig_filename:
            self._differing.append(shown(self.name(member)))
            member.orig_filename = name

    def notes(self) -> Iterator[str]:
        """Yield, in words, what was guessed of the names."""
        if not self._is_utf8:
            example = shown(self._unsaid[0].decode(self._encoding, "replace"))
            yield (
                f"The archive does not say how {len(self._unsaid)} of its names are written: they "
                f"are read as {self._encoding}, e.g. {example}."
            )
        if self._differing:
            yield (
                f"{len(self._differing)} files have another name in the archive's list than beside "
                f"their bytes, and that of the list is used, e.g. {self._differing[0]}."
            )


def _unsaid_name(member: zipfile.ZipInfo) -> bytes | None:
    """Return the bytes of a name whose encoding the zip does not say; None if all know it."""
    if member.flag_bits & _UTF8 or member.filename.isascii() or _unicode_path(member):
        return None
    try:
        return member.filename.encode(_DOS)
    except UnicodeError:
        return None


def _is_utf8(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True


def _unicode_path(member: zipfile.ZipInfo) -> str:
    """Return the name of Info-ZIP's extra field, if it belongs to the name in the list."""
    extra = member.extra
    while len(extra) >= _FIELD.size:
        kind, length = _FIELD.unpack_from(extra)
        data = extra[_FIELD.size : _FIELD.size + length]
        extra = extra[_FIELD.size + length :]
        if kind != _UNICODE_PATH or len(data) < _PATH.size:
            continue
        version, crc = _PATH.unpack_from(data)
        try:
            is_of_it = crc == zlib.crc32(member.orig_filename.encode(_DOS))
            return data[_PATH.size :].decode() if version == 1 and is_of_it else ""
        except UnicodeError:
            return ""
    return ""

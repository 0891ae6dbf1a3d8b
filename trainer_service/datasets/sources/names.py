"""The names of files: how people are shown them, and which of them are refused or passed over."""

import os
import unicodedata

from trainer_service.datasets.records import MAX_FOLDERS, MAX_NAME

_SHOWN_NAME = 100

#: What systems, network storage and archivers leave beside the files of people.
_NO_INTEREST = {
    "$recycle.bin",
    "#recycle",
    "#snapshot",
    "@eadir",
    "__macosx",
    "desktop.ini",
    "lost+found",
    "system volume information",
    "thumbs.db",
}


def clean_name(name: str) -> str:
    """Return a path as it is shown: relative, without `..`, printable, with forward slashes.

    Its letters are composed (Unicode's NFC), as macOS writes `é` as two and others as one.
    """
    if not (name.isascii() and name.isprintable()):
        name = unicodedata.normalize("NFC", name)
        name = "".join(c if c.isprintable() else "\ufffd" for c in name)
        name = name.encode("utf-8", "replace").decode()
    parts = name.replace("\\", "/").split("/")
    return "/".join(part for part in parts if part not in {"", ".", ".."})


def shown(name: str) -> str:
    """Return a name, or if it is long its beginning and its suffix."""
    if len(name) <= _SHOWN_NAME:
        return name
    suffix = os.path.splitext(name)[1][:8]  # noqa: PTH122 - this is no path
    return f"{name[:_SHOWN_NAME]}…{suffix}"


def is_hidden(name: str) -> bool:
    """Return whether a file is of no interest for its name, or that of one of its folders."""
    return any(
        (part.startswith(".") and part != ".") or part.lower() in _NO_INTEREST
        for part in name.split("/")
    )


def suffix_of(name: str) -> str:
    """Return the suffix of a path in small letters, as `PurePath` tells it, in less time."""
    file = name.rpartition("/")[2]
    dot = file.rfind(".")
    return file[dot:].lower() if 0 < dot < len(file) - 1 else ""


def fault_of(name: str) -> str:
    """Return why a file of this name is not read: the name is too long or too deep; else nothing.

    Args:
        name: as its source writes it, or cleaned.
    """
    if len(name) > MAX_NAME:
        return f"its name has {len(name)} characters, {MAX_NAME} are the most"
    return fault_of_depth(clean_name(name).count("/"))


def fault_of_depth(folders: int) -> str:
    """Return why nothing is read that lies in so many folders, one in the other; else nothing."""
    if folders <= MAX_FOLDERS:
        return ""
    return f"it lies in {folders} folders, one in the other; {MAX_FOLDERS} are the most"

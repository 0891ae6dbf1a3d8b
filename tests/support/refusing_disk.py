"""A disk that refuses to be changed, as one does that is mounted read-only, is full, or breaks."""

import builtins
import errno
import io
import os
from pathlib import Path

_CHANGES = ("mkdir", "rename", "replace", "unlink", "rmdir", "utime", "chmod")
_TO_WRITE = os.O_WRONLY | os.O_RDWR | os.O_CREAT


def refuse_changes(monkeypatch, store, number):
    """Have the system answer changes of a store with an error, until `monkeypatch` ends that.

    Args:
        monkeypatch: of pytest.
        store: the directory. What a descriptor names, or a path relative to one, counts as there.
        number: the number of the error. A full disk only refuses new folders and files.
    """
    full = number in {errno.ENOSPC, errno.EDQUOT}

    def refuse(path):
        if isinstance(path, int):
            raise OSError(number, os.strerror(number))
        named = Path(os.fsdecode(path))
        if not named.is_absolute() or named.is_relative_to(store):
            raise OSError(number, os.strerror(number), str(named))

    def patch(module, name, changes):
        real = getattr(module, name)

        def call(path, *rest, **named):
            if changes(*rest) and not (full and _is_there(path)):
                refuse(path)
            return real(path, *rest, **named)

        monkeypatch.setattr(module, name, call)

    for name in ("mkdir",) if full else _CHANGES:
        patch(os, name, lambda *_: True)
    patch(os, "open", lambda flags, *_: flags & _TO_WRITE)
    for module in (io, builtins):
        patch(module, "open", lambda mode="r", *_: set(mode) & set("wax+"))


def _is_there(path):
    return isinstance(path, int) or os.path.lexists(path)

"""The name of a model whose training names none: that of its images."""

import re
import unicodedata

#: If nothing can be made of the name of the images.
DEFAULT_NAME = "default"
MOST_CHARACTERS = 63

_ARCHIVE = re.compile(r"\.(zip|tgz|tbz2?|txz|gz|bz2|xz|tar(\.(gz|bz2|xz))?)$", re.IGNORECASE)


def model_name_of(source: str) -> str:
    """Return a valid name of a model, made from the name of an archive or a folder.

    Args:
        source: the name, or a path that ends in it.

    Example:
        model_name_of("animals/Pets 2.tar.gz")  # "Pets-2"
    """
    last = re.split(r"[\\/]+", source.rstrip("\\/"))[-1]
    stem = unicodedata.normalize("NFKD", _ARCHIVE.sub("", last))
    letters = "".join(character for character in stem if not unicodedata.combining(character))
    name = re.sub(r"[^A-Za-z0-9_-]+", "-", letters).strip("-_")[:MOST_CHARACTERS]
    return name.strip("-_") or DEFAULT_NAME

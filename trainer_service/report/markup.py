"""HTML and SVG from Python. What is not markup by its type is escaped."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = {"br", "img", "link", "meta"}


class Markup(str):
    """Text that is HTML already: only `tag` and `raw` make it."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: of the element.
        *children: text, which is escaped, markup, or sequences of these; None is left out.
        **attributes: `class_` is `class`, `stroke_width` is `stroke-width`; None is left out.
    """
    start = f"<{name}{''.join(_attributes(attributes))}>"
    return Markup(start if name in _VOID else f"{start}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return the children one after the other, escaped where they are no markup."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(escape(str(children)))
    return Markup("".join(join(child) for child in children))


def raw(text: str) -> Markup:
    """Declare that a text of our own is markup."""
    return Markup(text)


def _attributes(attributes: dict[str, str | float | None]) -> Iterable[str]:
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.7g}" if isinstance(value, float) else str(value)
            yield f' {name.rstrip("_").replace("_", "-")}="{escape(text)}"'

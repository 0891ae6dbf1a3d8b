"""Makes HTML and SVG. All text is escaped, unless it is of the type `Markup`."""

from collections.abc import Iterable
from html import escape
from typing import TypeAlias

_VOID = {"br", "img", "link", "meta"}


class Markup(str):
    """Text that is HTML already; only the functions of this module make it."""

    __slots__ = ()


Child: TypeAlias = "str | int | Iterable[Child] | None"


def tag(name: str, /, *children: Child, **attributes: str | float | None) -> Markup:
    """Return an element.

    Args:
        name: the name of the element.
        *children: text, which is escaped, markup, or sequences of these; None is left out.
        **attributes: the attributes, written as Python names: `class_` for `class`, `stroke_width`
            for `stroke-width`. None is left out.
    """
    start = f"<{name}{''.join(_attributes(attributes))}>"
    return Markup(start if name in _VOID else f"{start}{join(children)}</{name}>")


def join(children: Child) -> Markup:
    """Return the children one after the other; those that are not markup are escaped."""
    if children is None:
        return Markup()
    if isinstance(children, Markup):
        return children
    if isinstance(children, str | int):
        return Markup(escape(str(children)))
    return Markup("".join(join(child) for child in children))


def raw(text: str) -> Markup:
    """Return a text as markup; it must not come from a user."""
    return Markup(text)


def _attributes(attributes: dict[str, str | float | None]) -> Iterable[str]:
    for name, value in attributes.items():
        if value is not None:
            text = f"{value:.7g}" if isinstance(value, float) else str(value)
            yield f' {name.rstrip("_").replace("_", "-")}="{escape(text)}"'

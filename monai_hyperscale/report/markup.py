"""HTML and SVG as element trees: what comes from files is escaped by the serialiser, in one place."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Union
from xml.etree import ElementTree

__all__ = ["Child", "as_html", "data_block", "element"]

#: What an element may hold: elements, text, nothing, or several of them.
Child = Union[ElementTree.Element, str, None, Iterable["Child"]]


def element(name: str, *children: Child, **attributes: object) -> ElementTree.Element:
    """Return an element.

    Args:
        name: of the element.
        children: elements and text, in order; lists are flattened, ``None`` is left out.
        attributes: a trailing underscore is dropped and others become hyphens (``class_``, ``aria_label``); ``None``
            and ``False`` are left out, ``True`` is an attribute without a value.

    Example:
        >>> as_html(element("p", "1 < 2 ", element("b", "yes", class_="x"), hidden=True))
        '<p hidden="">1 &lt; 2 <b class="x">yes</b></p>'
    """
    made = ElementTree.Element(
        name,
        {
            key.rstrip("_").replace("_", "-"): "" if value is True else str(value)
            for key, value in attributes.items()
            if value is not None and value is not False
        },
    )
    _append(made, children)
    return made


def as_html(*parts: ElementTree.Element) -> str:
    """Return elements as HTML text."""
    return "".join(ElementTree.tostring(part, encoding="unicode", method="html") for part in parts)


def data_block(identity: str, value: Any) -> str:
    r"""Return a script element of data, not code, from which nothing can break out.

    Example:
        >>> data_block("d", ["</script>"])
        '<script type="application/json" id="d">["\\u003c/script\\u003e"]</script>'
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":"))
    for character in "<>&":
        text = text.replace(character, f"\\u{ord(character):04x}")
    return f'<script type="application/json" id="{identity}">{text}</script>'


def _append(parent: ElementTree.Element, children: Iterable[Child]) -> None:
    for child in children:
        if child is None:
            continue
        if isinstance(child, ElementTree.Element):
            parent.append(child)
        elif isinstance(child, str):
            if len(parent):
                parent[-1].tail = (parent[-1].tail or "") + child
            else:
                parent.text = (parent.text or "") + child
        else:
            _append(parent, child)

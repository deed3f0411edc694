"""Pictures of an example as data; the template ``cards.html.j2`` writes them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Layer:
    """One SVG element of a picture; an attribute that is ``None`` is left out."""

    tag: str
    attributes: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True)
class Picture:
    """An SVG picture of ``shape`` (rows, columns), later layers on top; without a ``description`` it is decoration."""

    shape: Sequence[int]
    layers: Sequence[Layer]
    description: Optional[str] = None
    kind: str = "picture"
    stretched: bool = False


@dataclass(frozen=True)
class Card:
    """Pictures of one φ, or of what there was before, each with a name or ``None``; the dial finds it by ``phi``."""

    title: str
    pictures: Sequence[tuple[Optional[str], Picture]]
    note: Optional[str] = None
    phi: tuple[float, ...] = ()

    @property
    def has_overlay(self) -> bool:
        """Whether something lies on a picture that the page can hide."""
        return any(layer.attributes.get("class") == "overlay" for _, drawn in self.pictures for layer in drawn.layers)


@dataclass(frozen=True)
class KeyEntry:
    """What a colour or a mark means."""

    text: str
    mark: Optional[Picture] = None


#: What a task draws of an example; and what a page calls a φ, and notes of the example at it.
Cards = tuple[list[Card], list[KeyEntry]]
Naming = Callable[[tuple[float, ...]], str]
Noting = Callable[[tuple[float, ...]], Optional[str]]


def image_layer(
    address: str, shape: Sequence[int], kind: Optional[str] = None, identity: Optional[str] = None
) -> Layer:
    """Return the image that fills a picture; ``kind`` is its class, ``identity`` lets others use it."""
    size = {"width": shape[1], "height": shape[0], "preserveAspectRatio": "none"}
    return Layer("image", {"href": address, **size, "class": kind, "id": identity})


def path_layer(d: str, kind: str) -> Layer:
    """Return a path of a class."""
    return Layer("path", {"d": d, "class": kind})


def use_layer(identity: str) -> Layer:
    """Return an image that the page has already."""
    return Layer("use", {"href": f"#{identity}"})

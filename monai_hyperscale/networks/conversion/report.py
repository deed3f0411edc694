"""What a conversion replaced, and which tensors it could take over."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Optional


@dataclass(frozen=True)
class Replacement:
    """One module that was replaced: its name (``""``: the network), what it was, and what it is now.

    ``level`` is that of the factor that it goes by; ``None`` if it does not down-sample.
    """

    name: str
    before: str
    after: str
    level: Optional[int] = None

    def __str__(self) -> str:
        return (self.name or "the network") + ("" if self.level is None else f" (level {self.level})")


@dataclass
class TensorReport:
    """Which tensors of a converted network come from a source of weights; ``str`` makes a text of it.

    Args:
        source: where they come from: a path, or "the network itself".
        reused: carried over as they are.
        adapted: carried over, but they mean something else now, and why.
        fresh: tensors of the network that keep their own initial values, and why.
        unused: tensors of the source that went nowhere, and why.
    """

    source: str
    reused: list[str] = field(default_factory=list)
    adapted: dict[str, str] = field(default_factory=dict)
    fresh: dict[str, str] = field(default_factory=dict)
    unused: dict[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        total = len(self.reused) + len(self.adapted) + len(self.fresh)
        lines = [f"Tensors from {self.source}: {len(self.reused) + len(self.adapted)} of {total} reused."]
        for title, tensors in (("adapted", self.adapted), ("fresh", self.fresh), ("not used", self.unused)):
            if tensors:
                lines.append(f"  {len(tensors)} {title}:")
            by_reason: dict[str, list[str]] = {}
            for name, reason in tensors.items():
                by_reason.setdefault(reason, []).append(name)
            lines += [f"    {_some(names)}: {reason}" for reason, names in by_reason.items()]
        return "\n".join(lines)


@dataclass
class ConversionReport:
    """What :func:`~monai_hyperscale.networks.conversion.rescalable` did to a network; ``str`` makes a text of it.

    ``replaced`` are the modules in the network's order, ``notes`` say what else differs from the original.

    Example:
        >>> from monai.networks.nets import BasicUNet
        >>> from monai_hyperscale.networks.conversion import rescalable
        >>> print(rescalable(BasicUNet(2, features=(4, 4, 4, 4, 4, 4))).report)
        BasicUNet, made rescalable...
    """

    network: str
    replaced: list[Replacement] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tensors: TensorReport = field(default_factory=lambda: TensorReport("the network itself"))

    def __str__(self) -> str:
        lines = [f"{self.network}, made rescalable:"]
        kinds: dict[tuple[str, str], list[str]] = {}
        for item in self.replaced:
            kinds.setdefault((item.before, item.after), []).append(str(item))
        for (before, after), names in kinds.items():
            lines += [f"  {len(names)} × {before} -> {after}:", f"    {_some(names)}"]
        lines += [f"  {note}" for note in self.notes]
        return "\n".join([*lines, str(self.tensors)])


def _some(names: list[str], most: int = 12) -> str:
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")

"""Pairs of images to register: every image to every other, to an atlas, or as a list has it; split by case."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from monai_hyperscale.data.datalist import split_cases
from monai_hyperscale.errors import DatasetError

__all__ = ["Pair", "PairList", "RegistrationImages", "split_pairs"]

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Two cases, by their places in a list of cases.

    Attributes:
        moving: the image that is warped.
        fixed: the image that it is warped onto.
        field: file of the true displacement field in ITK's convention, or ``None`` where it is not known.
    """

    moving: int
    fixed: int
    field: str | None = None


@dataclass(frozen=True)
class PairList(Sequence):
    """Pairs of cases, listed or every ordered one: both ways round, no case with itself.

    A list of all pairs takes no memory, however many there are. An item is
    ``{"moving": case, "fixed": case, "name": "a to b"}``, and ``"field"``, a path, where the displacement is known.

    Attributes:
        cases: ``{"image": path, "name": str}`` with ``"label": path`` where there is one.
        pairs: the listed ones; ``None`` for every ordered pair of cases.

    Example:
        >>> pairs = PairList([{"name": name} for name in "abc"])
        >>> len(pairs), [pair["name"] for pair in pairs]
        (6, ['a to b', 'a to c', 'b to a', 'b to c', 'c to a', 'c to b'])
    """

    cases: list[dict] = field(default_factory=list)
    pairs: tuple[Pair, ...] | None = None

    def __len__(self) -> int:
        return len(self.cases) * max(0, len(self.cases) - 1) if self.pairs is None else len(self.pairs)

    def pair(self, index: int) -> Pair:
        """Return the pair at ``index``.

        Raises:
            IndexError: if there are fewer.
        """
        if not -len(self) <= index < len(self):
            raise IndexError(f"pair {index} of {len(self)}")
        index %= len(self)
        if self.pairs is not None:
            return self.pairs[index]
        moving, fixed = divmod(index, len(self.cases) - 1)
        return Pair(moving, fixed + (fixed >= moving))  # no case with itself

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        pair = self.pair(index)
        moving, fixed = self.cases[pair.moving], self.cases[pair.fixed]
        item = {"moving": moving, "fixed": fixed, "name": f"{moving['name']} to {fixed['name']}"}
        return item if pair.field is None else {**item, "field": pair.field}

    def __iter__(self) -> Iterator[dict]:
        return (self[index] for index in range(len(self)))

    @property
    def has_fields(self) -> bool:
        """Whether the true displacement of every pair is known."""
        return bool(self.pairs) and all(pair.field is not None for pair in self.pairs or ())

    @property
    def has_labels(self) -> bool:
        """Whether every case has a label map."""
        return bool(self.cases) and all("label" in case for case in self.cases)

    def sample(self, count: int | None, seed: int = 0) -> PairList:
        """Return ``count`` pairs drawn at random without repetition, the same for the same seed on every machine.

        Of all pairs, cases are drawn evenly: n pairs of n cases hold each one once as moving and once as fixed image.

        Args:
            count: how many; ``None``, or more than there are, for all.
            seed: of the draw.

        Example:
            >>> drawn = PairList([{"name": name} for name in "abcd"]).sample(4, seed=1)
            >>> sorted(pair["moving"]["name"] for pair in drawn)
            ['a', 'b', 'c', 'd']
        """
        if count is None or count >= len(self):
            return self
        rng = np.random.default_rng(seed)
        if self.pairs is not None:
            chosen = sorted(rng.permutation(len(self.pairs))[:count].tolist())
            return _compact(self.cases, [self.pairs[index] for index in chosen])
        n = len(self.cases)
        order, offsets = rng.permutation(n).tolist(), (1 + rng.permutation(n - 1)).tolist()
        drawn = [Pair(order[k % n], order[(k + offsets[k // n]) % n]) for k in range(count)]
        return _compact(self.cases, drawn)


def _compact(cases: Sequence[dict], pairs: Sequence[Pair]) -> PairList:
    """Return pairs with only the cases that they need."""
    used = sorted({index for pair in pairs for index in (pair.moving, pair.fixed)})
    place = {index: number for number, index in enumerate(used)}
    renumbered = tuple(Pair(place[pair.moving], place[pair.fixed], pair.field) for pair in pairs)
    return PairList([cases[index] for index in used], renumbered)


@dataclass(frozen=True)
class RegistrationImages:
    """What a folder of images to register holds.

    Attributes:
        cases: ``{"image": path, "name": str}``, with ``"label": path`` if all cases have one, sorted by name.
        channels: names of the image channels, such as ``("MRI",)``.
        labels: class index → name, without background; empty where there are no labels.
        spatial_dims: 2 or 3, of the files.
        label_values: value in the label files of class 0 (background) … K; empty where there are no labels.
        pairs: which cases to register; ``None`` for every ordered pair.
        atlas: place of the case that every other is registered to, where one was named.
    """

    cases: list[dict]
    channels: tuple[str, ...]
    labels: dict[int, str]
    spatial_dims: int
    label_values: tuple[int, ...] = ()
    pairs: tuple[Pair, ...] | None = None
    atlas: int | None = None

    @property
    def common(self) -> int | None:
        """Place of the case that is in every pair: an atlas, named or not, which is none of the subjects."""
        if self.atlas is not None or not self.pairs or len(self.pairs) == 1:
            return self.atlas
        shared = set.intersection(*({pair.moving, pair.fixed} for pair in self.pairs))
        return shared.pop() if len(shared) == 1 else None

    @property
    def subjects(self) -> list[dict]:
        """The cases but an atlas: those that are split into training, validation and test."""
        return [case for place, case in enumerate(self.cases) if place != self.common]

    @property
    def pair_list(self) -> PairList:
        """All pairs of the folder."""
        return PairList(self.cases, self.pairs)


def split_pairs(
    images: RegistrationImages, fractions: Sequence[float] = (0.75, 0.05, 0.2), seed: int = 0
) -> tuple[PairList, PairList, PairList]:
    """Split by case into training, validation and test pairs: a test case is in no training pair.

    - Every ordered pair: the cases are split as :func:`split_cases` does, with at least two in each part.
    - Listed pairs: cases that are listed together stay together, so that no pair is lost (scans of one patient, for
      example). Where that ties most cases together, single cases are split, and pairs across two parts are left out.
    - A case that is in every pair is an atlas, and serves all parts.

    Args:
        images: what :func:`read_pairs` returned.
        fractions: shares of the three parts, of the cases.
        seed: of the split; the same on every machine.

    Raises:
        DatasetError: if there are too few cases or pairs.
        ValueError: if ``fractions`` is not three shares ≥ 0 with a sum above 0.

    Example:
        >>> cases = [{"name": f"{n:02d}", "image": f"{n}.nii.gz"} for n in range(20)]
        >>> parts = split_pairs(RegistrationImages(cases, ("MRI",), {}, 3), (0.7, 0.1, 0.2))
        >>> [len(part.cases) for part in parts], [len(part) for part in parts]
        ([14, 2, 4], [182, 2, 12])
    """
    if images.pairs is None:
        training, validation, test = _split_every_pair(images.cases, fractions, seed)
        return PairList(training), PairList(validation), PairList(test)
    atlas = set() if images.common is None else {images.common}
    groups = _groups(images, atlas)
    wanted = sum(share > 0 for share in fractions)
    largest = max(len(group) for group in groups)
    if len(groups) < wanted or largest > max(2, sum(len(group) for group in groups) // 2):
        groups = [[index] for group in groups for index in group]
    parts = split_cases(groups, fractions, seed)  # type: ignore[arg-type]
    lists = [_pairs_within(images, {index for group in part for index in group} | atlas) for part in parts]
    lost = len(images.pairs) - sum(len(part) for part in lists)
    if lost:
        _LOGGER.warning(
            "%d of %d listed pairs are left out: their two cases are in different parts.", lost, len(images.pairs)
        )
    if any(share > 0 and not len(part) for share, part in zip(fractions, lists, strict=True)):
        raise DatasetError(
            f"the {len(images.pairs)} listed pairs cannot be split into {wanted} parts by case; list more pairs, or "
            "set the share of a part to 0."
        )
    return lists[0], lists[1], lists[2]


def _split_every_pair(cases: list[dict], fractions: Sequence[float], seed: int) -> tuple[list, list, list]:
    parts = split_cases(cases, fractions, seed)
    wanted = [part for part, share in zip(parts, fractions, strict=True) if share > 0]
    if len(cases) < 2 * len(wanted):
        raise DatasetError(
            f"{len(cases)} images cannot be split into {len(wanted)} parts with a pair each; at least "
            f"{2 * len(wanted)} are needed."
        )
    for part in wanted:
        while len(part) < 2:
            part.append(max(wanted, key=len).pop())
    return parts


def _groups(images: RegistrationImages, atlas: set[int]) -> list[list[int]]:
    """Return the cases but the atlas in groups that no pair crosses, in the order of the cases."""
    ends = np.array([(p.moving, p.fixed) for p in images.pairs or () if not {p.moving, p.fixed} & atlas]).reshape(-1, 2)
    count = len(images.cases)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    groups: dict[int, list[int]] = {}
    listed = {index for pair in images.pairs or () for index in (pair.moving, pair.fixed)}
    for index, group in enumerate(connected_components(graph, directed=False)[1].tolist()):
        if index in listed - atlas:
            groups.setdefault(group, []).append(index)
    return list(groups.values())


def _pairs_within(images: RegistrationImages, cases: set[int]) -> PairList:
    return _compact(images.cases, [p for p in images.pairs or () if {p.moving, p.fixed} <= cases])

"""Pairs of images to register: every image to every other, to an atlas, or those of a list; split by case."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from monai_hyperscale.data.datalist import split_cases
from monai_hyperscale.errors import DatasetError

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pair:
    """Two cases, by their places in a list of cases: ``moving`` is warped onto ``fixed``.

    ``field`` is the file of the true displacement in ITK's convention, where that is known.
    """

    moving: int
    fixed: int
    field: str | None = None


@dataclass(frozen=True)
class PairList(Sequence):
    """Pairs of cases, listed or every ordered one (``None``): both ways round, no case with itself.

    A list of all pairs takes no memory, however many there are. An item is
    ``{"moving": case, "fixed": case, "name": "a to b"}``, and ``"field"``, a path, where the displacement is known.

    Example:
        >>> [pair["name"] for pair in PairList([{"name": name} for name in "abc"])]
        ['a to b', 'a to c', 'b to a', 'b to c', 'c to a', 'c to b']
    """

    cases: list[dict] = field(default_factory=list)
    pairs: tuple[Pair, ...] | None = None

    def __len__(self) -> int:
        return len(self.cases) * max(0, len(self.cases) - 1) if self.pairs is None else len(self.pairs)

    def pair(self, index: int) -> Pair:
        """Return the pair at ``index``, or raise ``IndexError``."""
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

    @property
    def has_fields(self) -> bool:
        """Whether the true displacement of every pair is known."""
        return bool(self.pairs) and all(pair.field is not None for pair in self.pairs or ())

    def sample(self, count: int | None, seed: int = 0) -> PairList:
        """Return ``count`` pairs drawn at random without repetition, all where that is ``None`` or more than there are.

        The same for the same seed on every machine. Of all pairs, cases are drawn evenly: n pairs of n cases hold each
        one once as moving and once as fixed image.
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

    Args:
        cases: ``{"image": path, "name": str}``, with ``"label": path`` if all cases have one, sorted by name.
        channels: names of the image channels, such as ``("MRI",)``.
        labels: class index → name, without background; empty where there are no labels, as ``label_values``.
        spatial_dims: 2 or 3, of the files.
        label_values: value in the label files of class 0 (background) … K.
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

    def pairs_among(self, cases: Sequence[Mapping[str, Any]]) -> PairList:
        """Return the pairs whose both cases are among those of a part; an atlas is in every part."""
        if self.pairs is None:
            return PairList([dict(case) for case in cases])
        kept = {case["name"] for case in cases}
        places = {i for i, case in enumerate(self.cases) if case["name"] in kept or i == self.common}
        return _compact(self.cases, [pair for pair in self.pairs if {pair.moving, pair.fixed} <= places])


def split_pairs(
    images: RegistrationImages, fractions: Sequence[float] = (0.75, 0.05, 0.2), seed: int = 0
) -> tuple[PairList, PairList, PairList]:
    """Split by case into training, validation and test pairs: a test case is in no training pair.

    - Every ordered pair: the cases are split as :func:`split_cases` does, with at least two in each part.
    - Listed pairs: cases that are listed together stay together, so that no pair is lost (scans of one patient, for
      example). Where that ties most cases together, single cases are split, and pairs across two parts are left out.
    - A case that is in every pair is an atlas, and serves all parts.

    Too few cases or pairs are a :class:`DatasetError`.

    Example:
        >>> cases = [{"name": f"{n:02d}", "image": f"{n}.nii.gz"} for n in range(20)]
        >>> [len(part) for part in split_pairs(RegistrationImages(cases, ("MRI",), {}, 3), (0.7, 0.1, 0.2))]
        [182, 2, 12]
    """
    if images.pairs is None:
        training, validation, test = (PairList(part) for part in _split_every_pair(images.cases, fractions, seed))
        return training, validation, test
    groups = _groups(images)
    wanted = sum(share > 0 for share in fractions)
    largest = max(len(group) for group in groups)
    if len(groups) < wanted or largest > max(2, sum(len(group) for group in groups) // 2):
        groups = [[index] for group in groups for index in group]
    parts = split_cases(groups, fractions, seed)  # type: ignore[arg-type]
    lists = [images.pairs_among([images.cases[index] for group in part for index in group]) for part in parts]
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


def _groups(images: RegistrationImages) -> list[list[int]]:
    """Return the listed cases but an atlas in groups that no pair crosses, in the order of the cases."""
    pairs, count = [(pair.moving, pair.fixed) for pair in images.pairs or ()], len(images.cases)
    ends = np.array([pair for pair in pairs if images.common not in pair]).reshape(-1, 2)
    graph = coo_array((np.ones(len(ends)), (ends[:, 0], ends[:, 1])), shape=(count, count))
    listed = {index for pair in pairs for index in pair} - {images.common}
    groups: dict[int, list[int]] = {}
    for index, group in enumerate(connected_components(graph, directed=False)[1].tolist()):
        if index in listed:
            groups.setdefault(group, []).append(index)
    return list(groups.values())

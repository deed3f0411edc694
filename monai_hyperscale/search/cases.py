"""Which cases of a data set a trained network is measured on: those that it was not trained on, and can name."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from monai_hyperscale.data import split_cases, unseen_names
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.hashing import sha256

__all__ = ["PARTS", "cases_of_part", "fingerprint"]

#: Cases that nothing depended on; those that the best weights were chosen by; every one, training cases included.
PARTS = ("test", "validation", "all")

_LOGGER = logging.getLogger(__name__)


def cases_of_part(
    cases: Sequence[dict], provenance: Mapping[str, Any], title: str, part: str = "test"
) -> list[dict[str, Any]]:
    """Return the cases of a part of a data set, as the training of a network split it.

    Of data that the network was not trained on every case is a test case, see :func:`unseen_names`.

    Args:
        cases: of the data set, sorted by name.
        provenance: how the network came about, from its description.
        title: name of the data set.
        part: one of :data:`PARTS`.

    Raises:
        DatasetError: if the network does not tell which cases the part has.

    Example:
        >>> cases = [{"name": f"case_{n}"} for n in range(4)]
        >>> facts = {"data": "liver", "test_cases": ["case_3"]}
        >>> [case["name"] for case in cases_of_part(cases, facts, "liver")]
        ['case_3']
        >>> len(cases_of_part(cases[:3], facts, "spleen"))
        3
    """
    if part not in PARTS:
        raise DatasetError(f"cases are {', '.join(PARTS)}, got {part!r}.")
    if part == "all":
        return list(cases)
    by_name = {case["name"]: case for case in cases}
    kept = unseen_names(list(by_name), provenance, title)
    if kept is None:
        if part == "validation":
            raise DatasetError(
                f"the network does not know which cases of {title} are for validation; take the test cases, or all."
            )
        _LOGGER.info("the network was not trained on %s: every case is a test case.", title)
        return list(cases)
    if part == "test":
        return [by_name[name] for name in kept]
    counts = provenance.get("cases")
    try:
        shares = [int(counts[name]) for name in ("train", "validation", "test")]  # type: ignore[index]
        validation, test = split_cases(list(cases), shares, int(provenance["split_seed"]))[1:]
    except (KeyError, TypeError, ValueError):
        validation, test = [], []
    if not validation or {case["name"] for case in test} != set(provenance["test_cases"]):
        raise DatasetError(
            f"the validation cases of {title} cannot be told from what the network's description says; "
            "take the test cases."
        )
    return validation


def fingerprint(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the cases' names and the contents of their files, by which other data are noticed."""
    files = [[case["name"], [_contents(case.get(kind)) for kind in ("image", "label")]] for case in cases]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _contents(paths: Any) -> list[str]:
    found = [paths] if isinstance(paths, (str, Path)) else paths or []
    # A file that is missing is told when it is read.
    return [sha256(path) if Path(path).is_file() else "" for path in found]

"""Which cases of a data set a trained network did not learn from, by their names."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Mapping, Sequence
from typing import Any, Optional

__all__ = ["digest", "unseen_names"]

_LOGGER = logging.getLogger(__name__)


def unseen_names(names: Sequence[str], provenance: Mapping[str, Any], title: str) -> Optional[list[str]]:
    """Return which cases a network was neither trained nor chosen on; ``None`` for all, of other data.

    The data are those of the training if they have its title, its cases, or all of its test cases: a folder may have
    been renamed, or have lost some. That only a part is taken where it may not be expected is told by a warning.

    Args:
        names: of the cases.
        provenance: how the network came about, from its description.
        title: of the data set.

    Returns:
        the test cases that are there, in the order of the description.

    Example:
        >>> facts = {"data": "liver", "test_cases": ["case_3", "case_5"]}
        >>> unseen_names(["case_1", "case_3"], facts, "liver"), unseen_names(["case_1", "case_3"], facts, "spleen")
        (['case_3'], None)
    """
    tested, there = list(provenance.get("test_cases") or ()), set(names)
    found = [name for name in tested if name in there]
    named = provenance.get("data") == title
    same = named or provenance.get("all_cases") == digest(sorted(names))
    if found and (same or len(found) == len(tested)):
        if len(found) < len(tested):
            _LOGGER.warning(
                "%s has %d of the %d cases that the network was tested on: these are its test cases.",
                title,
                len(found),
                len(tested),
            )
        elif not same:
            _LOGGER.warning(
                "%s has all %d cases, by name, that the network was tested on: it is taken for the data set of its "
                "training, and they alone for test cases.",
                title,
                len(found),
            )
        return found
    if tested and (named or found):
        _LOGGER.warning(
            "%s has %s of the %d cases that the network was tested on: if it learnt from some of the others, their "
            "scores say nothing of new cases.",
            title,
            len(found) or "none",
            len(tested),
        )
    return None


def digest(names: Any) -> str:
    """Return a short fingerprint of nested lists of names."""
    return hashlib.sha256(json.dumps(names).encode()).hexdigest()[:16]

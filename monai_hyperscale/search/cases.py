"""Which cases of a data set a trained network is measured on: those that its training set aside, by their names."""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Optional, Union

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.io.files import sha256

#: Cases that nothing depended on; those that the best weights were chosen by; every one, training cases included.
PARTS = ("test", "validation", "all")

_LOGGER = logging.getLogger(__name__)


def cases_of_part(
    cases: Sequence[dict], provenance: Mapping[str, Any], title: str, part: str = "validation"
) -> list[dict[str, Any]]:
    """Return the cases of a :data:`part <PARTS>` of a data set, as the training noted them in its ``provenance``.

    The data are the training's if they have its title, all its cases, or all of its test cases: a folder may have been
    renamed, or have lost some. Of other data every case is a test case. A DatasetError if the part has no case.
    """
    if part not in PARTS:
        raise DatasetError(f"cases are {', '.join(PARTS)}, got {part!r}.")
    if part == "all":
        return list(cases)
    by_name = {case["name"]: case for case in cases}
    recorded = provenance.get("cases") or {}
    names = recorded.get("validation") or ()
    unknown = f"the network does not know which cases of {title} are for validation; take the test cases, or all."
    if part == "validation" and not names:
        raise DatasetError(unknown)
    tested = _test_names(by_name, recorded, title, provenance.get("data") == title)
    if part == "test":
        if tested is None:
            _LOGGER.info("the network was not trained on %s: every case is a test case.", title)
        return list(cases) if tested is None else [by_name[name] for name in tested]
    if tested is None:
        raise DatasetError(unknown)
    found = [by_name[name] for name in names if name in by_name]
    if not found:
        raise DatasetError(
            f"{title} has none of the {len(names)} cases that the network's weights were chosen by; take the test "
            "cases, or restore those."
        )
    if len(found) < len(names):
        _LOGGER.warning("%s has %d of the %d cases for validation.", title, len(found), len(names))
    return found


def _test_names(
    there: Mapping[str, Any], recorded: Mapping[str, Sequence[str]], title: str, named: bool
) -> Optional[list[str]]:
    """Return which test cases are there; ``None`` where the data are not those of the training."""
    tested = recorded.get("test") or ()
    found = [name for name in tested if name in there]
    same = named or {name for names in recorded.values() for name in names} == set(there)
    counts = (title, len(found) or "none", len(tested))
    if found and (same or len(found) == len(tested)):
        if len(found) < len(tested):
            _LOGGER.warning(
                "%s has %s of the %d cases that the network was tested on: these are its test cases.", *counts
            )
        elif not same:
            _LOGGER.warning(
                "%s has all %d cases, by name, that the network was tested on: it is taken for the data set of its "
                "training, and they alone for test cases.",
                *counts[:2],
            )
        return found
    if tested and (named or found):
        _LOGGER.warning(
            "%s has %s of the %d cases that the network was tested on: if it learnt from some of the others, their "
            "scores say nothing of new cases.",
            *counts,
        )
    return None


def check_kind(settings: NetworkSettings, dataset: Any, folder: Union[str, os.PathLike]) -> None:
    """Raise a DatasetError if the images of a data set, in ``folder``, have not a network's dimensions or channels."""
    wanted, channels = settings.file_dims, len(settings.channels)
    if dataset.spatial_dims != wanted or len(dataset.channels) != channels:
        raise DatasetError(
            f"the network takes {wanted}D images of {channels} channels ({', '.join(settings.channels)}), those of "
            f"{folder} are {dataset.spatial_dims}D and have {len(dataset.channels)}; name data of the same kind."
        )


def fingerprint(cases: Sequence[Mapping[str, Any]]) -> str:
    """Return the SHA-256 of the cases' names and the contents of their files, by which other data are noticed."""
    files = [[case["name"], [_contents(case.get(kind)) for kind in ("image", "label")]] for case in cases]
    return hashlib.sha256(json.dumps(files).encode()).hexdigest()


def _contents(paths: Any) -> list[str]:
    found = [paths] if isinstance(paths, (str, Path)) else paths or []
    # A file that is missing is told when it is read.
    return [sha256(path) if Path(path).is_file() else "" for path in found]

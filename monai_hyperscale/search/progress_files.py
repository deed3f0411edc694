"""The unfinished sweep on disk: what was asked, and what is measured so far, so that it can go on after anything."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.io.files import PARTIAL, write_text
from monai_hyperscale.search.cost import InferenceCost
from monai_hyperscale.search.results import phi_name
from monai_hyperscale.search.workload import CaseResult

_LOGGER = logging.getLogger(__name__)

_PLAN, _COSTS = "plan.json", "costs.json"
#: What ``kind`` of every file says.
_KIND = "unfinished sweep"
# Every name that a sweep gives a file; a kill can leave a partial one behind.
_OWN = re.compile(rf"{re.escape(_PLAN)}|{re.escape(_COSTS)}|phi_[0-9.e_-]+(_p\d+)?\.json|{re.escape(PARTIAL)}[\w.-]+")
# What these leave in every folder they show is in nobody's way.
_OF_FILE_MANAGERS = {".DS_Store", ".directory", "Thumbs.db", "desktop.ini"}
_NAMED = 3  # foreign files that a message names


@dataclass(frozen=True)
class ProgressFiles:
    """What a sweep has measured so far, in a folder of its own; no other file is ever removed."""

    folder: Path

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note what is measured, by words for people; a FrontierError if an earlier sweep was of something else."""
        self.check()
        path = self.folder / _PLAN
        earlier = _read(path)
        wanted = json.loads(json.dumps(plan))
        if earlier is None:
            if any(name.startswith("phi_") or name in (_PLAN, _COSTS) for name in self._names()):
                state = "damaged" if path.exists() else "gone"
                _LOGGER.warning(
                    "%s is %s, so what was measured for it is not used: the sweep starts anew.", path, state
                )
            self.remove()
            write_text(path, json.dumps({"kind": _KIND, **wanted}, indent=1) + "\n")
            return
        for name in wanted:
            if earlier.get(name) != wanted[name]:
                raise FrontierError(
                    f"{self.folder.parent} holds an unfinished sweep with another {name}; repeat that command to "
                    "finish it, name another folder, or start anew with --overwrite."
                )

    def count(self) -> int:
        """Return how many scores, each of one case at one φ, are there; those of damaged files do not count."""
        contents = [_read(self.folder / name) for name in self._names() if name.startswith("phi_")]
        cases = [content.get("cases") for content in contents if isinstance(content, dict)]
        return sum(len(found) for found in cases if isinstance(found, dict))

    def check(self) -> None:
        """Raise a FrontierError if not all in the folder is a sweep's, so that it may write and remove there."""
        way_out = "move it away, or name another folder with -o"
        if self.folder.is_symlink() or self.folder.exists() and not self.folder.is_dir():
            raise FrontierError(f"{self.folder} does not hold an unfinished sweep; {way_out}.")
        foreign = [name for name in self._names() if not self._is_own(name) and name not in _OF_FILE_MANAGERS]
        if foreign:
            told = ", ".join(foreign[:_NAMED]) + (", …" if len(foreign) > _NAMED else "")
            raise FrontierError(f"{self.folder} holds what no sweep wrote ({told}); {way_out}.")

    def remove(self) -> None:
        """Remove what a sweep wrote, and the folder if nothing else is in it."""
        names = self._names()
        for name in filter(self._is_own, names):
            (self.folder / name).unlink(missing_ok=True)
        if self.folder.is_dir() and not self._names():
            self.folder.rmdir()

    def _names(self) -> list[str]:
        return sorted(path.name for path in self.folder.iterdir()) if self.folder.is_dir() else []

    def _is_own(self, name: str) -> bool:
        if _OWN.fullmatch(name) is None or not (self.folder / name).is_file():
            return False
        try:
            content = json.loads((self.folder / name).read_text(encoding="utf-8"))
        except OSError:  # such as a file that this user may not read: not known to be a sweep's
            return False
        except (ValueError, RecursionError):
            return True  # of a damaged file the name alone tells
        return isinstance(content, dict) and content.get("kind") == _KIND

    def write_cases(self, phi: Sequence[float], results: Mapping[str, CaseResult], process: int = 0) -> None:
        """Write what one φ scores so far, whole or not at all; every process has a file of its own."""
        content = {name: asdict(result) for name, result in results.items()}
        path = self.folder / f"{_stem(phi)}{f'_p{process}' if process else ''}.json"
        write_text(path, json.dumps({"kind": _KIND, "phi": list(phi), "cases": content}) + "\n")

    def read_cases(self, phi: Sequence[float], names: Sequence[str], labels: Sequence[str]) -> dict[str, CaseResult]:
        """Return what one φ scores so far; nothing of a file that is damaged, so that it is measured again."""
        found: dict[str, CaseResult] = {}
        for path in [self.folder / f"{_stem(phi)}.json", *sorted(self.folder.glob(f"{_stem(phi)}_p*.json"))]:
            content = _read(path)
            try:
                cases = _CASES.validate_python(content["cases"])
                if any(list(result.scores) != list(labels) for result in cases.values()):
                    raise ValueError("other labels")
                found |= {name: cases[name] for name in names if name in cases}
            except (TypeError, KeyError, ValueError):
                if content is not None:
                    _LOGGER.warning("%s is damaged: phi = %s is measured again.", path, phi_name(phi))
        return found

    def write_costs(self, key: Mapping[str, Any], costs: Sequence[InferenceCost]) -> None:
        """Write what is known so far of the costs of the first φ, and ``key``: what they depend on, for JSON."""
        content = {"kind": _KIND, "key": key, "costs": [asdict(cost) for cost in costs]}
        write_text(self.folder / _COSTS, json.dumps(content) + "\n")

    def read_costs(self, key: Mapping[str, Any], count: int) -> list[InferenceCost]:
        """Return what :meth:`write_costs` wrote; nothing where it is damaged, or was measured on another machine."""
        content = _read(self.folder / _COSTS)
        try:
            same = content["key"] == json.loads(json.dumps(key))
            return _MEASURED.validate_python(content["costs"])[:count] if same else []
        except (TypeError, KeyError, ValueError):
            return []


_CASES = TypeAdapter(dict[str, CaseResult])
_MEASURED = TypeAdapter(list[InferenceCost])


def _stem(phi: Sequence[float]) -> str:
    return f"phi_{phi_name(phi).replace(',', '_')}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None

"""The unfinished sweep on disk: what was asked, and what is measured so far, so that it can go on after anything."""

from __future__ import annotations

import hashlib
import json
import logging
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.io.atomic import write_text
from monai_hyperscale.search.cost import InferenceCost
from monai_hyperscale.search.results import Latency, phi_name
from monai_hyperscale.search.workload import CaseResult

__all__ = ["ProgressFiles", "digest"]

_LOGGER = logging.getLogger(__name__)


class ProgressFiles:
    """What a sweep has measured so far, in a folder of its own.

    Args:
        folder: of these files; made at the first.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     files = ProgressFiles(Path(folder) / "parts")
        ...     files.begin({"data": "liver"})
        ...     files.write_cases((0.3,), {"case_1": CaseResult({"1": 0.9})})
        ...     files.read_cases((0.3,), ["case_1", "case_2"], ["1"])
        {'case_1': CaseResult(scores={'1': 0.9}, before=None, folded=None, volumes={})}
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def begin(self, plan: Mapping[str, Any]) -> None:
        """Note what is measured, or check that an earlier sweep was to measure the same.

        Args:
            plan: what the results depend on, ready for JSON; keys are words for people.

        Raises:
            FrontierError: if the folder is of another sweep.
        """
        path = self.folder / "plan.json"
        earlier = _read(path)
        wanted = json.loads(json.dumps(plan))
        if earlier is None:
            if self.folder.exists():
                shutil.rmtree(self.folder)
            write_text(path, json.dumps(wanted, indent=1) + "\n")
            return
        for name in wanted:
            if not isinstance(earlier, dict) or earlier.get(name) != wanted[name]:
                raise FrontierError(
                    f"{self.folder.parent} holds an unfinished sweep with another {name}; repeat that command to "
                    "finish it, name another folder, or start anew with --overwrite."
                )

    def remove(self) -> None:
        """Remove the folder."""
        if self.folder.exists():
            shutil.rmtree(self.folder)

    def write_cases(self, phi: Sequence[float], results: Mapping[str, CaseResult], process: int = 0) -> None:
        """Write what one φ scores so far, whole or not at all; every process has a file of its own."""
        content = {name: asdict(result) for name, result in results.items()}
        path = self.folder / f"{_stem(phi)}{f'_p{process}' if process else ''}.json"
        write_text(path, json.dumps({"phi": list(phi), "cases": content}) + "\n")

    def read_cases(self, phi: Sequence[float], names: Sequence[str], labels: Sequence[str]) -> dict[str, CaseResult]:
        """Return what one φ scores so far; nothing of a file that is damaged, so that it is measured again."""
        found: dict[str, CaseResult] = {}
        for path in [self.folder / f"{_stem(phi)}.json", *sorted(self.folder.glob(f"{_stem(phi)}_p*.json"))]:
            content = _read(path)
            try:
                found |= {name: _case(content["cases"][name], labels) for name in names if name in content["cases"]}
            except (TypeError, KeyError, AttributeError, ValueError):
                if content is not None:
                    _LOGGER.warning("%s is damaged: phi = %s is measured again.", path, phi_name(phi))
        return found

    def write_costs(self, key: Mapping[str, Any], costs: Sequence[InferenceCost]) -> None:
        """Write what every φ costs.

        Args:
            key: what the costs depend on, the machine foremost, ready for JSON.
            costs: in the order of the sweep.
        """
        content = {"key": key, "costs": [asdict(cost) for cost in costs]}
        write_text(self.folder / "costs.json", json.dumps(content) + "\n")

    def read_costs(self, key: Mapping[str, Any], count: int) -> Optional[list[InferenceCost]]:
        """Return what every φ costs, ``None`` where that was not measured, or not on this machine."""
        content = _read(self.folder / "costs.json")
        try:
            if content["key"] != json.loads(json.dumps(key)) or len(content["costs"]) != count:
                return None
            return [_cost(cost) for cost in content["costs"]]
        except (TypeError, KeyError, ValueError, AttributeError):
            return None


def digest(content: Any) -> str:
    """Return a short fingerprint of what is ready for JSON."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def _stem(phi: Sequence[float]) -> str:
    return f"phi_{phi_name(phi).replace(',', '_')}"


def _read(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None


def _case(content: Any, labels: Sequence[str]) -> CaseResult:
    before, folded = content["before"], content["folded"]
    return CaseResult(
        _scores(content["scores"], labels),
        None if before is None else _scores(before, labels),
        None if folded is None else float(folded),
        {str(value): float(volume) for value, volume in content["volumes"].items()},
    )


def _scores(content: Any, labels: Sequence[str]) -> dict[str, Optional[float]]:
    if list(content) != list(labels):
        raise ValueError("other labels")
    return {value: None if score is None else float(score) for value, score in content.items()}


def _cost(content: Any) -> InferenceCost:
    latency, memory = content["latency"], content["memory"]
    if latency is not None:
        median, low, high = (float(latency[name]) for name in ("median", "low", "high"))
        latency = Latency(median, low, high, int(latency["runs"]))
    stages = {str(name): float(seconds) for name, seconds in content["stages"].items()}
    return InferenceCost(
        int(content["flops"]), int(content["parameters"]), latency, None if memory is None else int(memory), stages
    )

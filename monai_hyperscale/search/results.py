"""What was measured of every φ: the rows of a frontier, and the files that hold them."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional, Union

from pydantic import ConfigDict, Field, TypeAdapter, ValidationError

from monai_hyperscale.errors import FrontierError, first_line, first_mistake
from monai_hyperscale.io.atomic import write_text
from monai_hyperscale.search.results_schema import (
    FORMAT,
    KIND,
    BundleFacts,
    ByCost,
    CaseScores,
    Choice,
    Count,
    DataFacts,
    Factors,
    LabelValue,
    MetricFacts,
    Number,
    Positive,
    TaskName,
    contradiction,
    wrong_kind,
)
from monai_hyperscale.tasks import TASKS, Column, task_named

__all__ = ["COSTS", "Frontier", "FrontierRow", "Interval", "Latency", "phi_name", "read_frontier"]

#: What a budget can be about, each with a curve of its own.
COSTS = ("flops", "latency", "memory")


@dataclass(frozen=True)
class Interval:
    """A mean over cases and its 95 % bootstrap interval; ``None`` where no case has a value."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    mean: Optional[Number]
    low: Optional[Number]
    high: Optional[Number]


@dataclass(frozen=True)
class Latency:
    """Seconds of one inference: the median of ``runs``, and their quartiles."""

    __pydantic_config__ = ConfigDict(extra="forbid")

    median: Positive
    low: Positive
    high: Positive
    runs: Count


@dataclass(frozen=True)
class FrontierRow:
    """What one φ costs and scores. What was not measured is ``None``.

    Attributes:
        phi: one factor, or one per level.
        score: mean over cases.
        flops: floating-point operations of one inference.
        parameters: of the folded network.
        latency: seconds of one inference.
        memory: peak bytes of one inference beside weights and image.
        labels: score of every label, by its value as text.
        cases: case to label value to score; ``None`` where the label is not in the case.
        extra: what else the task measured, by the name of its :class:`Column`; without ends where it is a share.
        stages: seconds of every stage of one case from file to file; empty where they were not measured.

    Example:
        >>> row = FrontierRow((0.3,), Interval(0.9, 0.88, 0.91), flops=5e9, latency=Latency(0.04, 0.03, 0.05, 9))
        >>> row.cost("latency"), row.cost("flops"), row.cost("memory")
        (0.04, 5000000000.0, None)
    """

    phi: Factors
    score: Interval
    flops: Optional[Positive] = None
    parameters: Optional[Count] = None
    latency: Optional[Latency] = None
    memory: Optional[Positive] = None
    labels: Mapping[str, Interval] = field(default_factory=dict)
    cases: CaseScores = field(default_factory=dict)
    extra: Mapping[str, Interval] = field(default_factory=dict)
    stages: Mapping[str, Positive] = field(default_factory=dict)

    def cost(self, name: str) -> Optional[float]:
        """Return a cost by its name, of latency the median."""
        value = getattr(self, name)
        return value.median if isinstance(value, Latency) else value


@dataclass(frozen=True)
class Frontier:
    """What every φ of a trained network costs and scores on a data set and a machine.

    Attributes:
        task: its name, see :data:`monai_hyperscale.tasks.TASKS`.
        bundle: ``name``, ``weights_sha256`` and ``settings``, the content of ``model.json``.
        data: ``name``, ``part`` (``test``, ``validation`` or ``all``) and ``cases``, their names; ``files_sha256`` of
            their files, which results before it have not; ``mean_volumes`` of the labels, in mm³, or voxels of 2D
            images.
        labels: name of every label by its value as text.
        metric: ``name`` and ``higher_is_better``.
        machine: what it was measured on.
        options: what is needed to repeat it.
        rows: one per φ.
        pareto: cost to the indices of rows that no other beats, cheapest first.
        hypervolume: cost to the share of the plane that the Pareto points dominate, see :func:`hypervolume`.
        knee: cost to the index of the row at the knee, see :func:`knee`.
        choice: of results that a choice was made on: ``phi``, ``limits``, ``objective``, and under ``confirmed`` the
            ``data`` and the ``row`` of the cases that it was confirmed on.
    """

    task: TaskName
    bundle: BundleFacts
    data: DataFacts
    labels: Mapping[LabelValue, str]
    metric: MetricFacts
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    rows: Annotated[tuple[FrontierRow, ...], Field(min_length=1)]
    pareto: ByCost[tuple[Count, ...]]
    hypervolume: ByCost[Number]
    knee: ByCost[Count]
    choice: Optional[Choice] = None

    @property
    def higher_is_better(self) -> bool:
        """Whether more of the score is better."""
        return bool(self.metric["higher_is_better"])

    def row(self, phi: Sequence[float]) -> Optional[FrontierRow]:
        """Return the row of a φ, ``None`` where it was not measured."""
        wanted = [round(factor, 6) for factor in phi]
        return next((row for row in self.rows if [round(factor, 6) for factor in row.phi] == wanted), None)

    def as_dict(self) -> dict[str, Any]:
        """Return the content of the JSON file."""
        content = {name: value for name, value in vars(self).items() if name != "rows"}
        if content["choice"] is None:
            del content["choice"]
        rows = [row_as_dict(row) for row in self.rows]
        content = {"format": FORMAT, "kind": KIND, **content}
        places = list(content).index("pareto")
        items = list(content.items())
        return dict([*items[:places], ("rows", rows), *items[places:]])

    def write(self, path: Union[str, Path]) -> None:
        """Write the JSON file, and two tables beside it, each file whole or not at all.

        ``NAME.csv`` has one line per φ, ``NAME_cases.csv`` one per φ, case and label.

        Args:
            path: of the JSON file.
        """
        path = Path(path)
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"
        write_text(path.with_suffix(".csv"), _csv(self._per_phi()))
        write_text(path.with_name(path.stem + "_cases.csv"), _csv(self._per_case()))
        # Last, so that where it is, all is.
        write_text(path, text)

    def _per_phi(self) -> list[dict[str, Any]]:
        lines = []
        extra = task_named(self.task).columns
        names = _label_columns(self.labels, extra)
        for index, row in enumerate(self.rows):
            line: dict[str, Any] = {"phi": phi_name(row.phi), "flops": row.flops, "parameters": row.parameters}
            line["latency_s"] = row.cost("latency")
            for end in ("low", "high"):
                line[f"latency_{end}_s"] = None if row.latency is None else getattr(row.latency, end)
            line |= {"memory_bytes": row.memory} | _columns("score", row.score)
            for value, name in names.items():
                line |= _columns(name, row.labels[value])
            for column in extra:
                found = row.extra.get(column.name, Interval(None, None, None))
                line |= {column.name: found.mean} if column.share else _columns(column.name, found)
            for cost in self.pareto:
                line[f"pareto_{cost}"] = int(index in self.pareto[cost])
            lines.append(line)
        return lines

    def _per_case(self) -> list[dict[str, Any]]:
        return [
            {"phi": phi_name(row.phi), "case": case, "label": value, "name": self.labels[value], "score": score}
            for row in self.rows
            for case, scores in row.cases.items()
            for value, score in scores.items()
        ]


def phi_name(phi: Sequence[float]) -> str:
    """Return φ as text, as the command line takes it.

    Example:
        >>> phi_name((0.5, 0.25))
        '0.5,0.25'
    """
    return ",".join(f"{round(factor, 6):g}" for factor in phi)


def row_as_dict(row: FrontierRow) -> dict[str, Any]:
    """Return a row as JSON has it; of an interval without ends its mean alone."""
    content: dict[str, Any] = {"phi": list(row.phi), "flops": row.flops, "parameters": row.parameters}
    content |= {"latency": None if row.latency is None else vars(row.latency), "memory": row.memory}
    content |= {"score": vars(row.score), "labels": {key: vars(value) for key, value in row.labels.items()}}
    content["cases"] = {case: dict(scores) for case, scores in row.cases.items()}
    content |= {name: found.mean if found.low is None else vars(found) for name, found in row.extra.items()}
    if row.stages:
        content["stages"] = dict(row.stages)
    return content


def read_frontier(path: Union[str, Path], way_out: Optional[str] = None) -> Frontier:
    """Read and check the JSON file of a frontier.

    Args:
        path: of the file that ``monai-hyperscale pareto`` wrote, or of its folder.
        way_out: what is to be done about a file that cannot be used, to end the sentence with; default: to name
            another or to write it anew.

    Raises:
        FrontierError: if the file is missing, damaged, or something else.
    """
    path = Path(path)
    if path.is_dir():
        path = path / "frontier.json"
    if not path.is_file():
        raise FrontierError(f"there is no frontier at {path}; make one with monai-hyperscale pareto.")
    if path.suffix.lower() != ".json":
        raise FrontierError(f"{path} is no frontier; name the frontier.json beside it, or its folder.")
    try:
        content = json.loads(path.read_text(encoding="utf-8"), parse_constant=_no_constant)
    except (OSError, ValueError, RecursionError) as error:
        told = way_out or "write it anew, with monai-hyperscale pareto --overwrite if that wrote it"
        raise FrontierError(f"{path} is damaged or cut off ({first_line(error)}); {told}.") from error
    told = way_out or "name another, or write it anew"
    mistake = wrong_kind(content)
    if mistake is None:
        try:
            frontier = _reader().validate_python(_with_extra(content))
            if frontier.choice is not None and "confirmed" in frontier.choice:
                row_from_dict(frontier.choice["confirmed"]["row"], frontier.task)
        except ValidationError as error:
            mistake = first_mistake(error)
        else:
            places = {"pareto": frontier.pareto, "knee": frontier.knee}
            mistake = contradiction(frontier.rows, set(frontier.labels), frontier.data["cases"], places)
    if mistake is not None:
        raise FrontierError(f"{path} is not a frontier that this version reads: {mistake}; {told}.")
    return frontier


@cache
def _reader() -> TypeAdapter[Frontier]:
    return TypeAdapter(Frontier)


@cache
def _row_reader() -> TypeAdapter[FrontierRow]:
    return TypeAdapter(FrontierRow)


def row_from_dict(content: Mapping[str, Any], task: str) -> FrontierRow:
    """Return a row of a task's frontier from JSON.

    Raises:
        ValueError: if it is not a row.
    """
    return _row_reader().validate_python(_row_with_extra(content, task))


def _with_extra(content: Mapping[str, Any]) -> Mapping[str, Any]:
    rows, task = content.get("rows"), content.get("task")
    if not isinstance(rows, list) or task not in TASKS:
        return content
    return {**content, "rows": [_row_with_extra(row, task) for row in rows]}


def _row_with_extra(row: Any, task: str) -> Any:
    """Return a row of the file with its task's columns, which lie beside the others there, under ``extra``."""
    if not isinstance(row, Mapping):
        return row
    extra = {
        column.name: value if isinstance(value, Mapping) else {"mean": value, "low": None, "high": None}
        for column in task_named(task).columns
        if (value := row.get(column.name)) is not None
    }
    return {**row, "extra": extra}


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _columns(name: str, score: Interval) -> dict[str, Any]:
    return dict(zip((name + end for end in _ENDS), (score.mean, score.low, score.high), strict=True))


_ENDS = ("", "_low", "_high")
# Columns that are no label's.
_OWN = ["phi", "flops", "parameters", "latency_s", "latency_low_s", "latency_high_s", "memory_bytes"]
_OWN += [f"score{end}" for end in _ENDS] + [f"pareto_{cost}" for cost in COSTS]


def _label_columns(labels: Mapping[str, str], extra: Sequence[Column]) -> dict[str, str]:
    """Return the first column of every label: its name, with its value where another column has the same."""
    own = [*_OWN, *(column.name + end for column in extra for end in _ENDS)]
    taken = Counter([*own, *(name + end for name in labels.values() for end in _ENDS)])
    clear = {name: all(taken[name + end] == 1 for end in _ENDS) for name in labels.values()}
    return {value: name if clear[name] else f"{name} ({value})" for value, name in labels.items()}


def _csv(lines: Sequence[Mapping[str, Any]]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, list(lines[0]) if lines else [], lineterminator="\n")
    writer.writeheader()
    writer.writerows(lines)
    return buffer.getvalue()

"""What was measured of every φ: the rows of a frontier, and the JSON file that holds them.

What the values of the file may be is in the types, for pydantic; the few rules that types cannot say are in
``_contradiction``.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Annotated, Any, NoReturn, Optional, TypeVar, Union

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema, TypeAdapter, ValidationError, with_config
from typing_extensions import NotRequired, TypedDict

from monai_hyperscale.errors import FrontierError, first_line, first_mistake, short
from monai_hyperscale.io.files import write_text
from monai_hyperscale.tasks import TASKS, task_named

#: What a budget can be about, each with a curve of its own.
COSTS = ("flops", "latency", "memory")
_FORMAT, _KIND = 1, "frontier"

T = TypeVar("T")
# JSON's 1e999 is Python's infinity.
Number = Annotated[float, Field(strict=True, ge=-1e300, le=1e300)]
Positive = Annotated[float, Field(strict=True, ge=0, le=1e300)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**63)]
Factors = Annotated[tuple[Annotated[float, Field(strict=True, ge=0, le=1)], ...], Field(min_length=1)]
#: A value of label files as text.
LabelValue = Annotated[str, Field(pattern=r"^-?\d{1,9}$")]
CaseScores = Mapping[str, Mapping[str, Optional[Number]]]
ByCost = Mapping[Annotated[str, Field(pattern=f"^({'|'.join(COSTS)})$")], T]


def _known(task: str) -> str:
    if task not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}")
    return task


_open = with_config(ConfigDict(extra="allow"))


@_open
class _Bundle(TypedDict):
    name: str
    weights_sha256: str
    settings: dict[str, Any]


@_open
class _Data(TypedDict):
    name: str
    part: str
    cases: Annotated[list[str], Field(min_length=1)]
    files_sha256: NotRequired[str]
    mean_volumes: NotRequired[dict[str, Positive]]


@_open
class _Metric(TypedDict):
    name: str
    higher_is_better: Annotated[bool, Field(strict=True)]


@_open
class _Confirmed(TypedDict):
    data: _Data
    row: dict[str, Any]


@_open
class _Choice(TypedDict):
    phi: Annotated[list[Positive], Field(min_length=1)]
    confirmed: NotRequired[_Confirmed]


def _record(form: Any) -> GetPydanticSchema:
    """Return the marker of a mapping that has the keys of ``form``, and may have others."""
    return GetPydanticSchema(lambda _, handler: handler(form))


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

    Args:
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

    Args:
        task: its name.
        bundle: ``name``, ``weights_sha256`` and ``settings``, the content of ``model.json``.
        data: ``name``, ``part`` (``test``, ``validation`` or ``all``) and ``cases``, their names; ``files_sha256`` of
            their files; ``mean_volumes`` of the labels, in mm³, or voxels of 2D images.
        labels: name of every label by its value as text.
        metric: ``name`` and ``higher_is_better``.
        machine: what it was measured on.
        options: what is needed to repeat it.
        rows: one per φ.
        pareto: cost to the indices of rows that no other beats, cheapest first.
        hypervolume: cost to the share of the plane that the Pareto points dominate, see :func:`hypervolume`.
        knee: cost to the index of the row at the knee, see :func:`knee`.
        choice: where one was made ``phi``, ``limits``, ``objective``, and ``confirmed``: ``data`` and ``row`` there.
    """

    task: Annotated[str, AfterValidator(_known)]
    bundle: Annotated[Mapping[str, Any], _record(_Bundle)]
    data: Annotated[Mapping[str, Any], _record(_Data)]
    labels: Mapping[LabelValue, str]
    metric: Annotated[Mapping[str, Any], _record(_Metric)]
    machine: Mapping[str, Any]
    options: Mapping[str, Any]
    rows: Annotated[tuple[FrontierRow, ...], Field(min_length=1)]
    pareto: ByCost[tuple[Count, ...]]
    hypervolume: ByCost[Number]
    knee: ByCost[Count]
    choice: Optional[Annotated[Mapping[str, Any], _record(_Choice)]] = None

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
        content = {"format": _FORMAT, "kind": _KIND, **vars(self), "rows": [row_as_dict(row) for row in self.rows]}
        return {name: value for name, value in content.items() if name != "choice" or value is not None}

    def write(self, path: Union[str, Path]) -> None:
        """Write ``NAME.json``, then ``NAME.csv``, a line per φ, and ``NAME_cases.csv``, per φ, case and label."""
        from monai_hyperscale.search.tables import per_case, per_phi

        path = Path(path)
        text = json.dumps(self.as_dict(), indent=1, allow_nan=False) + "\n"
        write_text(path.with_suffix(".csv"), per_phi(self))
        write_text(path.with_name(path.stem + "_cases.csv"), per_case(self))
        # Last, so that where it is, all is.
        write_text(path, text)


def phi_name(phi: Sequence[float]) -> str:
    """Return φ as text, as the command line takes it: ``0.5,0.25``."""
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
    """Read and check a frontier's JSON file, or that of its folder, as ``monai-hyperscale pareto`` wrote it.

    One that is missing, damaged, or something else is a FrontierError; ``way_out`` ends its sentence.
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
    mistake = _wrong_kind(content)
    if mistake is None:
        rows, task = content.get("rows"), content.get("task")
        if isinstance(rows, list) and task in TASKS:
            content["rows"] = [_row_with_extra(row, task) for row in rows]
        try:
            frontier = _reader(Frontier).validate_python(content)
            if frontier.choice is not None and "confirmed" in frontier.choice:
                row_from_dict(frontier.choice["confirmed"]["row"], frontier.task)
            mistake = _contradiction(frontier)
        except ValidationError as error:
            mistake = first_mistake(error)
    if mistake is not None:
        told = way_out or "name another, or write it anew"
        raise FrontierError(f"{path} is not a frontier that this version reads: {mistake}; {told}.")
    return frontier


@cache
def _reader(kind: type[T]) -> TypeAdapter[T]:
    return TypeAdapter(kind)


def row_from_dict(content: Mapping[str, Any], task: str) -> FrontierRow:
    """Return a row of a task's frontier from JSON; a ValueError if it is none."""
    return _reader(FrontierRow).validate_python(_row_with_extra(content, task))


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


def _wrong_kind(content: Any) -> Optional[str]:
    """Return why content is not a frontier's of this format at all, without a full stop; ``None`` if it is."""
    if not isinstance(content, dict) or content.get("kind") != _KIND:
        got = f"kind {short(content.get('kind'))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        return f'expected a JSON object of kind "{_KIND}", got {got}'
    if content.get("format") != _FORMAT:
        return f"its format is {short(content.get('format'))}, expected {_FORMAT}"
    return None


def _contradiction(frontier: Frontier) -> Optional[str]:
    """Return what contradicts what: types have looked at each value by itself."""
    rows, labels, names = frontier.rows, set(frontier.labels), frontier.data["cases"]
    if len(set(names)) < len(names):
        return "data.cases names one twice"
    places = {f"pareto.{cost}": indices for cost, indices in frontier.pareto.items()}
    places |= {f"knee.{cost}": (index,) for cost, index in frontier.knee.items()}
    for name, indices in places.items():
        if any(index >= len(rows) for index in indices):
            return f"{name} names a row that is not there, of {len(rows)}"
        if len(set(indices)) < len(indices):
            return f"{name} names a row twice"
    seen = set()
    for index, row in enumerate(rows):
        if row.phi in seen:
            return f"rows[{index}] has the same phi as another"
        seen.add(row.phi)
        if set(row.labels) != labels:
            return f"rows[{index}].labels are not those of the file"
        if set(row.cases) != set(names) or any(set(scores) != labels for scores in row.cases.values()):
            return f"rows[{index}].cases are not those of the file, or have not its labels"
    return None

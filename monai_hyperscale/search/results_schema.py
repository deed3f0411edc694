"""What the values of a frontier's file may be, for pydantic, and the few rules that types cannot say."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Optional, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, GetPydanticSchema
from typing_extensions import NotRequired, TypedDict

from monai_hyperscale.errors import short
from monai_hyperscale.tasks import TASKS

__all__ = ["FORMAT", "KIND", "contradiction", "wrong_kind"]

FORMAT = 1
KIND = "frontier"

T = TypeVar("T")

# JSON's 1e999 is Python's infinity.
Number = Annotated[float, Field(strict=True, ge=-1e300, le=1e300)]
Positive = Annotated[float, Field(strict=True, ge=0, le=1e300)]
Count = Annotated[int, Field(strict=True, ge=0, le=2**63)]
Factors = Annotated[tuple[Annotated[float, Field(strict=True, ge=0, le=1)], ...], Field(min_length=1)]
#: A value of label files as text.
LabelValue = Annotated[str, Field(pattern=r"^-?\d{1,9}$")]
CaseScores = Mapping[str, Mapping[str, Optional[Number]]]
ByCost = Mapping[Annotated[str, Field(pattern="^(flops|latency|memory)$")], T]


def _known(task: str) -> str:
    if task not in TASKS:
        raise ValueError(f"expected one of {', '.join(TASKS)}")
    return task


TaskName = Annotated[str, AfterValidator(_known)]


class _Bundle(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: str
    weights_sha256: str
    settings: dict[str, Any]


class _Data(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: str
    part: str
    cases: Annotated[list[str], Field(min_length=1)]
    files_sha256: NotRequired[str]
    mean_volumes: NotRequired[dict[str, Positive]]


class _Metric(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    name: str
    higher_is_better: Annotated[bool, Field(strict=True)]


class _Confirmed(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    data: _Data
    row: dict[str, Any]


class _Choice(TypedDict):
    __pydantic_config__ = ConfigDict(extra="allow")  # type: ignore[misc]

    phi: Annotated[list[Positive], Field(min_length=1)]
    confirmed: NotRequired[_Confirmed]


def _record(form: Any) -> GetPydanticSchema:
    """Return the marker of a mapping that has the keys of ``form``, and may have others."""
    return GetPydanticSchema(lambda _, handler: handler(form))


BundleFacts = Annotated[Mapping[str, Any], _record(_Bundle)]
DataFacts = Annotated[Mapping[str, Any], _record(_Data)]
MetricFacts = Annotated[Mapping[str, Any], _record(_Metric)]
Choice = Annotated[Mapping[str, Any], _record(_Choice)]


def wrong_kind(content: Any) -> Optional[str]:
    """Return why content is not a frontier's of this format at all, without a full stop; ``None`` if it is.

    Args:
        content: what the JSON file holds.

    Example:
        >>> wrong_kind([])
        'expected a JSON object of kind "frontier", got a list'
        >>> wrong_kind({"kind": "frontier", "format": 2})
        'its format is 2, expected 1'
    """
    if not isinstance(content, dict) or content.get("kind") != KIND:
        got = f"kind {short(content.get('kind'))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        return f'expected a JSON object of kind "{KIND}", got {got}'
    if content.get("format") != FORMAT:
        return f"its format is {short(content.get('format'))}, expected {FORMAT}"
    return None


def contradiction(
    rows: Sequence[Any], labels: set[str], names: Sequence[str], places: Mapping[str, Any]
) -> Optional[str]:
    """Return what contradicts what: types have looked at each value by itself.

    Args:
        rows: of the frontier.
        labels: its label values.
        names: of its cases.
        places: ``pareto`` and ``knee``, which name rows by cost.
    """
    if len(set(names)) < len(names):
        return "data.cases names one twice"
    for name, by_cost in places.items():
        for cost, found in by_cost.items():
            indices = [found] if isinstance(found, int) else found
            if any(index >= len(rows) for index in indices):
                return f"{name}.{cost} names a row that is not there, of {len(rows)}"
            if len(set(indices)) < len(indices):
                return f"{name}.{cost} names a row twice"
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

"""The form of the JSON file of a frontier, as a JSON schema and the few rules that a schema cannot say."""

from __future__ import annotations

from functools import cache
from typing import Any, Optional

from monai_hyperscale.tasks import TASKS, task_named

__all__ = ["FORMAT", "KIND", "first_mistake"]

FORMAT = 1
KIND = "frontier"

# JSON's 1e999 is Python's infinity.
_NUMBER = {"type": "number", "minimum": -1e300, "maximum": 1e300}
_POSITIVE = {**_NUMBER, "minimum": 0}
_SHARE = {**_NUMBER, "minimum": 0, "maximum": 1}
_COUNT = {"type": "integer", "minimum": 0, "maximum": 2**63}
_TEXT = {"type": "string"}
_OBJECT = {"type": "object"}


def _or_null(schema: dict[str, Any]) -> dict[str, Any]:
    return {**schema, "type": [schema["type"], "null"]}


def _record(closed: bool = False, optional: tuple[str, ...] = (), **properties: Any) -> dict[str, Any]:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": not closed}


def _map(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


def _by_cost(values: dict[str, Any]) -> dict[str, Any]:
    properties = {name: values for name in ("flops", "latency", "memory")}
    return {"type": "object", "properties": properties, "additionalProperties": False}


_SCORE = _record(closed=True, mean=_or_null(_NUMBER), low=_or_null(_NUMBER), high=_or_null(_NUMBER))
_LATENCY = _record(closed=True, median=_POSITIVE, low=_POSITIVE, high=_POSITIVE, runs=_COUNT)
_PHI = {"type": "array", "minItems": 1, "items": {"type": "number", "minimum": 0, "maximum": 1}}
_ROW = _record(
    optional=("stages",),
    phi=_PHI,
    flops=_or_null(_POSITIVE),
    parameters=_or_null(_COUNT),
    latency=_or_null(_LATENCY),
    memory=_or_null(_POSITIVE),
    score=_SCORE,
    labels=_map(_SCORE),
    cases=_map(_map(_or_null(_NUMBER))),
    stages=_map(_POSITIVE),
)
_ROWS = {"type": "array", "minItems": 1, "items": _ROW}
_DATA = _record(
    optional=("files_sha256", "mean_volumes"),
    name=_TEXT,
    part=_TEXT,
    cases={"type": "array", "minItems": 1, "items": _TEXT, "uniqueItems": True},
    files_sha256=_TEXT,
    mean_volumes=_map(_POSITIVE),
)
_SCHEMA = _record(
    optional=("choice",),
    format={"const": FORMAT},
    kind={"const": KIND},
    task={"enum": list(TASKS)},
    bundle=_record(name=_TEXT, weights_sha256=_TEXT, settings=_OBJECT),
    data=_DATA,
    # The values of label files.
    labels={"type": "object", "patternProperties": {r"^-?\d{1,9}$": _TEXT}, "additionalProperties": False},
    metric=_record(name=_TEXT, higher_is_better={"type": "boolean"}),
    machine=_OBJECT,
    options=_OBJECT,
    rows=_ROWS,
    pareto=_by_cost({"type": "array", "items": _COUNT, "uniqueItems": True}),
    hypervolume=_by_cost(_NUMBER),
    knee=_by_cost(_COUNT),
    choice=_record(optional=("confirmed",), phi=_PHI, confirmed=_record(data=_DATA, row=_ROW)),
)
_SHOWN = 90  # characters of a wrong value


def first_mistake(content: Any) -> Optional[str]:
    """Return what is wrong with the content of a frontier's file, without a full stop; ``None`` if nothing is.

    Args:
        content: what the JSON file holds.

    Example:
        >>> first_mistake([])
        'expected a JSON object of kind "frontier", got a list'
        >>> first_mistake({"kind": "frontier", "format": 2})
        'its format is 2, expected 1'
    """
    if not isinstance(content, dict) or content.get("kind") != KIND:
        got = f"kind {_short(content.get('kind'))}" if isinstance(content, dict) else f"a {type(content).__name__}"
        return f'expected a JSON object of kind "{KIND}", got {got}'
    if content.get("format") != FORMAT:
        return f"its format is {_short(content.get('format'))}, expected {FORMAT}"
    from jsonschema.exceptions import best_match

    error = best_match(_validator(content.get("task")).iter_errors(content))
    if error is not None:
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in error.absolute_path)
        return f"{place.lstrip('.') or 'it'}: {_short(error.message)}"
    return _contradiction(content)


def _contradiction(content: dict[str, Any]) -> Optional[str]:
    """Return what contradicts what: the schema has looked at each value by itself."""
    rows, labels, cases = content["rows"], set(content["labels"]), set(content["data"]["cases"])
    for name in ("pareto", "knee"):
        for cost, indices in content[name].items():
            if any(index >= len(rows) for index in (indices if isinstance(indices, list) else [indices])):
                return f"{name}.{cost} names a row that is not there, of {len(rows)}"
    seen = set()
    for index, row in enumerate(rows):
        phi = tuple(row["phi"])
        if phi in seen:
            return f"rows[{index}] has the same phi as another"
        seen.add(phi)
        if set(row["labels"]) != labels:
            return f"rows[{index}].labels are not those of the file"
        if set(row["cases"]) != cases or any(set(scores) != labels for scores in row["cases"].values()):
            return f"rows[{index}].cases are not those of the file, or have not its labels"
    return None


@cache
def _validator(task: Any) -> Any:
    from jsonschema import Draft202012Validator

    columns = task_named(task).columns if task in TASKS else ()
    extra = {column.name: _or_null(_SHARE if column.share else _SCORE) for column in columns}
    rows = {**_ROWS, "items": {**_ROW, "properties": {**_ROW["properties"], **extra}}}
    return Draft202012Validator({**_SCHEMA, "properties": {**_SCHEMA["properties"], "rows": rows}})


def _short(value: Any) -> str:
    text = value if isinstance(value, str) and " " in value else repr(value)
    return text if len(text) <= _SHOWN else text[: _SHOWN // 2] + " … " + text[-_SHOWN // 2 :]

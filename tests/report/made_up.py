"""Made-up results in the format of frontier.json, as plausible as those of a real sweep."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from monai_hyperscale.search.statistics import hypervolume, knee, pareto_points

COSTS = ("flops", "latency", "memory")


def segmentation_results(phis: int = 51, cases: int = 40, **changes: Any) -> dict[str, Any]:
    """Return results of one φ each, from 0 to 0.5, of a network whose cost rises as the bundle's does."""
    rng = np.random.default_rng(0)
    names = [f"hippocampus_{number:03d}" for number in range(17, 17 + cases)]
    skill = rng.normal(0, 0.028, (cases, 1))
    rows = []
    for phi in np.linspace(0, 0.5, phis).round(4).tolist():
        labels = np.array([0.895, 0.882]) - 0.16 * np.exp(-phi / 0.035) - 0.012 * (phi - 0.38) ** 2
        scores = np.clip(labels + skill + rng.normal(0, 0.004, (cases, 2)), 0, 1)
        flops = 2.9e9 + 5.4e9 * (phi / 0.5) ** 2.6
        latency = (9e-3 + 5.1e-12 * flops) * (1 + 0.015 * rng.standard_normal())
        row = _row([phi], flops, latency, 61e6 + 150e6 * (phi / 0.5) ** 2, names, scores, rng)
        stages = {"reading": 0.011, "preprocessing": 0.034, "network": latency, "argmax": 0.0021, "resampling": 0.0004}
        rows.append({**row, "stages": {**stages, "writing": 0.0062, "other": 0.0008}})
    return {**_results("segmentation", names, rows), **changes}


def registration_results(phis: int = 26, pairs: int = 12, **changes: Any) -> dict[str, Any]:
    """Return results of registration, with Dice before and folded voxels."""
    rng = np.random.default_rng(1)
    names = [f"hippocampus_{number:03d} to hippocampus_{number + 40:03d}" for number in range(17, 17 + pairs)]
    skill = rng.normal(0, 0.04, (pairs, 1))
    before = np.clip(np.array([0.56, 0.52]) + skill, 0, 1)
    rows = []
    for phi in np.linspace(0, 0.5, phis).round(4).tolist():
        labels = np.array([0.745, 0.712]) - 0.05 * np.exp(-phi / 0.06) - 0.09 * (phi - 0.25) ** 2
        scores = np.clip(labels + skill + rng.normal(0, 0.004, (pairs, 2)), 0, 1)
        flops = 4.1e9 + 6.2e9 * (phi / 0.5) ** 2.4
        row = _row([phi], flops, 0.02 + 6e-12 * flops, 90e6 + 190e6 * (phi / 0.5) ** 2, names, scores, rng)
        rows.append({**row, "before": _interval(before.mean(1), rng), "folded": 0.0001 + 0.0006 * phi})
    return {**_results("registration", names, rows), **changes}


def vector_results(**changes: Any) -> dict[str, Any]:
    """Return results of three factors each."""
    rng = np.random.default_rng(2)
    names = [f"case_{number}" for number in range(8)]
    rows = []
    grid = np.stack(np.meshgrid(*3 * [[0.1, 0.2, 0.3, 0.4, 0.5]]), -1).reshape(-1, 3)
    for phi in rng.permutation(grid)[:40].tolist():
        size = np.mean(phi)
        scores = np.clip(0.89 - 0.1 * np.exp(-phi[0] / 0.1) + rng.normal(0, 0.01, (8, 2)), 0, 1)
        flops = 3e9 + 4e9 * phi[0] ** 2 + 9e9 * size**2
        rows.append(_row(phi, flops, 4.8e-12 * flops, 60e6 + 3e8 * size**2, names, scores, rng))
    return {**_results("segmentation", names, rows), **changes}


def without_cost(results: dict[str, Any], *keys: str) -> dict[str, Any]:
    """Return results in which costs were not measured."""
    rows = [{**row, **dict.fromkeys(keys)} for row in results["rows"]]
    kept = {
        name: {key: value for key, value in results[name].items() if key not in keys}
        for name in ("pareto", "hypervolume", "knee")
    }
    return {**results, "rows": rows, **kept}


def without_labels(results: dict[str, Any]) -> dict[str, Any]:
    """Return results of a data set without labels, scored by correlation."""
    rows = [{**row, "labels": {}, "cases": dict.fromkeys(row["cases"], {})} for row in results["rows"]]
    return {**results, "rows": rows, "labels": {}, "metric": {"name": "correlation", "higher_is_better": True}}


def of_other_cases(results: dict[str, Any], shift: float = 0.0, keep: int = 1, **data: Any) -> dict[str, Any]:
    """Return results of one in ``keep`` φ on other cases, with scores that differ by ``shift``."""
    other = copy.deepcopy(results)
    other["rows"] = other["rows"][::keep]
    other["pareto"], other["knee"], other["hypervolume"] = {}, {}, {}
    names = data.pop("cases", [f"new_{number}" for number in range(len(other["data"]["cases"]))])
    other["data"] = {**other["data"], "part": "test", "cases": names, **data}
    for number, row in enumerate(other["rows"]):
        for end in ("mean", "low", "high"):
            row["score"][end] += shift + 0.0007 * (-1) ** number
        row["cases"] = dict(zip(names, row["cases"].values(), strict=True))
    return other


def _row(
    phi: list[float],
    flops: float,
    latency: float,
    memory: float,
    names: list[str],
    scores: np.ndarray,
    rng: np.random.Generator,
) -> dict[str, Any]:
    return {
        "phi": phi,
        "flops": float(round(flops)),
        "parameters": 678_211,
        "latency": {"median": latency, "low": 0.985 * latency, "high": 1.03 * latency, "runs": 9},
        "memory": int(memory),
        "score": _interval(scores.mean(1), rng),
        "labels": {str(label): _interval(scores[:, label - 1], rng) for label in (1, 2)},
        "cases": {name: {"1": pair[0], "2": pair[1]} for name, pair in zip(names, scores.tolist(), strict=True)},
    }


def _interval(values: np.ndarray, rng: np.random.Generator) -> dict[str, float]:
    means = rng.choice(values, (200, len(values))).mean(1)
    low, high = np.quantile(means, (0.025, 0.975))
    return {"mean": float(values.mean()), "low": float(low), "high": float(high)}


def _results(task: str, names: list[str], rows: list[dict[str, Any]]) -> dict[str, Any]:
    scores = [row["score"]["mean"] for row in rows]
    costs = {key: [row[key] for row in rows] for key in COSTS}
    costs["latency"] = [found["median"] for found in costs["latency"]]
    return {
        "format": 1,
        "kind": "frontier",
        "task": task,
        "bundle": {
            "name": "sshn_seg" if task == "segmentation" else "sshn_reg",
            "weights_sha256": "6f3a" * 16,
            "settings": {"task": task, "spatial_dims": 3, "channels": ["MRI"], "phi_range": [0, 0.5]},
        },
        "data": {"name": "Task04_Hippocampus", "part": "test", "cases": names},
        "labels": {"1": "Anterior", "2": "Posterior"},
        "metric": {"name": "Dice", "higher_is_better": True},
        "machine": {
            "device": "cpu",
            "processor": "a processor of 2 cores",
            "threads": 2,
            "python": "3.11.2",
            "torch": "2.13.0",
            "monai": "1.6.1",
            "monai_hyperscale": "0.1.0",
            "system": "Linux",
        },
        "options": {
            "seed": 0,
            "phi": "0:0.5:0.01",
            "repeats": 9,
            "bootstrap": 2000,
            "image_size": [36, 52, 36],
            "command": ["monai-hyperscale", "pareto", "bundles/sshn_seg", "--dataset", "Task04_Hippocampus"],
        },
        "rows": rows,
        "pareto": {key: pareto_points(values, scores) for key, values in costs.items()},
        "hypervolume": {key: hypervolume(values, scores) for key, values in costs.items()},
        "knee": {key: knee(values, scores) for key, values in costs.items()},
    }

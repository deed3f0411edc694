from __future__ import annotations

import pytest

from monai_hyperscale.search import Frontier, FrontierRow, Interval, Latency


def make_row(phi: float, flops: float, seconds: float, score: float) -> FrontierRow:
    value, time = Interval(score, score - 0.01, score + 0.01), Latency(seconds, 0.9 * seconds, 1.1 * seconds, 9)
    cases = {"a": {"1": score}, "b": {"1": None}}
    return FrontierRow((phi,), value, flops, 1000, time, 10**6, {"1": value}, cases)


@pytest.fixture
def frontier() -> Frontier:
    """Return a frontier of four phi; the third is beaten by the second."""
    scores = {0.0: 0.70, 0.1: 0.86, 0.3: 0.85, 0.5: 0.90}
    rows = [make_row(phi, n * 1e9, n / 100, score) for n, (phi, score) in enumerate(scores.items(), start=1)]
    return Frontier(
        task="segmentation",
        bundle={"name": "b", "weights_sha256": "0" * 64, "settings": {"labels": {"1": "liver"}}},
        data={"name": "d", "part": "test", "cases": ["a", "b"]},
        labels={"1": "liver"},
        metric={"name": "Dice", "higher_is_better": True},
        machine={"device": "cpu"},
        options={"seed": 0},
        rows=tuple(rows),
        pareto={"flops": (0, 1, 3), "latency": (0, 1, 3)},
        hypervolume={"flops": 0.6, "latency": 0.6},
        knee={"flops": 1, "latency": 1},
    )

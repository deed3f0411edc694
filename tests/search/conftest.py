from __future__ import annotations

import pytest

from monai_hyperscale.search import Frontier, FrontierRow, Interval, Latency


def make_row(phi: tuple[float, ...], flops: float, seconds: float, score: float, memory: int = 10**6) -> FrontierRow:
    value = Interval(score, score - 0.01, score + 0.01)
    return FrontierRow(
        phi,
        value,
        flops,
        1000,
        Latency(seconds, 0.9 * seconds, 1.1 * seconds, 9),
        memory,
        {"1": value},
        {"a": {"1": score}, "b": {"1": None}},
    )


@pytest.fixture
def frontier() -> Frontier:
    """Return a frontier of four phi; the third is beaten by the second."""
    rows = [
        make_row((0.0,), 1e9, 0.010, 0.70),
        make_row((0.1,), 2e9, 0.020, 0.86),
        make_row((0.3,), 3e9, 0.030, 0.85),
        make_row((0.5,), 4e9, 0.040, 0.90),
    ]
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

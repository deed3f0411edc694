import math
import random

import pytest

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.search import (
    FrontierRow,
    Interval,
    Latency,
    Limit,
    Objective,
    choose,
    default_objective,
    read_limits,
    read_objective,
)

DICE = {"name": "Dice", "higher_is_better": True}
HD95 = {"name": "HD95", "higher_is_better": False}


def row(phi, score, flops=1e9, seconds=0.01, memory=10**6):
    interval = Interval(score, score, score)
    return FrontierRow((phi,), interval, flops, 1, Latency(seconds, seconds, seconds, 9), memory)


@pytest.mark.parametrize(
    ("text", "quantity", "bound"),
    [
        ("latency<=40ms", "latency", 0.04),
        ("LATENCY ≤ 40 MS", "latency", 0.04),
        ("latency<=1.5s", "latency", 1.5),
        ("latency<=250µs", "latency", 250e-6),
        ("memory<=2GB", "memory", 2e9),
        ("memory <= 2GiB", "memory", 2**31),
        ("memory<=512 mb", "memory", 512e6),
        ("flops<=5G", "flops", 5e9),
        ("flops<=5.5 GFLOPs", "flops", 5.5e9),
        ("flops<=5e9", "flops", 5e9),
        ("dice>=0.88", "score", 0.88),
        ("Dice ≥ 88%", "score", 0.88),
        ("score>=.5", "score", 0.5),
    ],
)
def test_limits_are_read(text, quantity, bound):
    (limit,) = read_limits([text], DICE)
    assert (limit.quantity, limit.text) == (quantity, text) and limit.bound == pytest.approx(bound)
    assert limit.upper == (quantity != "score")


def test_several_limits_and_other_scores():
    several = read_limits(["latency<=1s, flops<=1G", "dice>=0.1"], DICE)
    assert [limit.quantity for limit in several] == ["latency", "flops", "score"]
    (limit,) = read_limits(["hd95<=3mm"], HD95)
    assert limit == Limit("score", 3.0, True, "hd95<=3mm")
    surface = {"name": "surface Dice at 1 mm", "higher_is_better": True}
    assert read_limits(["surface_dice>=0.9"], surface, "surface_dice")[0].quantity == "score"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("latncy<=40ms", "'latncy' is not known; did you mean latency?"),
        ("dice>=89", "dice is 1 at most, got 89; write a share or a percentage (0.9, 90%)."),
        ("speed<=40ms", "there is flops, latency, memory and dice"),
        ("latency<=40", "needs a unit; latency is given in us, ms, s"),
        ("latency<=40msec", "unknown unit 'msec'"),
        ("memory<=2", "needs a unit; memory is given in kB"),
        ("memory<=2GX", "unknown unit 'GX'"),
        ("flops<=5ms", "unknown unit 'ms'; flops is given in K, M, G, T"),
        ("dice>=0.8mm", "unknown unit 'mm'"),
        ("latency>=40ms", "latency takes <=, not >=: write latency<=40ms"),
        ("latency<40ms", "takes <=, not <"),
        ("dice<=0.9", "dice takes >=, not <="),
        ("latency", "cannot be read; limits look like latency<=40ms"),
        ("latency<=", "cannot be read"),
        ("<=3", "cannot be read"),
        ("latency<=1.2.3ms", "not a number"),
        ("latency<=nanms", "cannot be read"),
        ("flops<=1e999", "not a number"),
        (" , ", "says nothing"),
        ("__import__('os').system('x')<=1ms", "not known"),
    ],
)
def test_what_cannot_be_read_is_told_in_one_sentence(text, message):
    with pytest.raises(FrontierError) as caught:
        read_limits([text], DICE)
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_objectives():
    assert read_objective("flops", True, DICE) == Objective("flops", True)
    assert read_objective("Dice", False, DICE) == Objective("score", False)
    assert read_objective("hd95", True, HD95) == Objective("score", True)
    for text, minimize, metric in (("flops", False, DICE), ("dice", True, DICE), ("hd95", False, HD95)):
        with pytest.raises(FrontierError, match="is to be m"):
            read_objective(text, minimize, metric)
    with pytest.raises(FrontierError, match="did you mean latency"):
        read_objective("latenc", True, DICE)
    score, memory = read_limits(["dice>=0.5", "memory<=1GB"], DICE)
    assert default_objective([score], ["latency"]) == Objective("latency", True)
    assert default_objective([score, memory], ["latency"]) == Objective("memory", True)
    assert default_objective([memory], ["latency"]) == default_objective([score], []) == Objective("score", False)


@pytest.mark.parametrize("seed", range(8))
def test_the_choice_is_that_of_looking_at_all(seed):
    rng = random.Random(seed)
    rows = [row(i / 20, rng.randint(5, 9) / 10, rng.randint(1, 9) * 1e9, rng.randint(1, 9) / 100) for i in range(20)]
    limits = read_limits(["dice>=0.7", f"latency<={rng.randint(2, 6)}0ms"], DICE)
    met = [r for r in rows if r.score.mean >= 0.7 and r.latency.median <= limits[1].bound + 1e-12]
    assert met
    cheapest = choose(rows, limits, Objective("flops", True))
    assert cheapest.row.flops == min(r.flops for r in met) and cheapest.row in met
    # Of those alike the better one.
    assert cheapest.row.score.mean == max(r.score.mean for r in met if r.flops == cheapest.row.flops)
    best = choose(rows, limits, Objective("score", False))
    assert best.row.score.mean == max(r.score.mean for r in met)
    assert best.row.flops == min(r.flops for r in met if r.score.mean == best.row.score.mean)
    assert (best.met, best.considered, best.missed) == (len(met), 20, ())


def test_where_none_meets_the_limits_the_nearest_is_named():
    rows = [row(0.1, 0.5, seconds=0.011), row(0.3, 0.85, seconds=0.02), row(0.5, 0.9, seconds=0.04)]
    # Missed by 10 %, 100 % and 300 % of 10 ms; by 44 %, 5.6 % and 0 of 0.9.
    limits = read_limits(["latency<=10ms", "dice>=0.9"], DICE)
    found = choose(rows, limits, Objective("score", False))
    assert found.row.phi == (0.1,) and found.met == 0 and list(found.missed) == limits
    misses = [sum(limit.miss(r) for limit in limits) for r in rows]
    assert misses == pytest.approx([0.1 + 0.4 / 0.9, 1 + 0.05 / 0.9, 3])
    found = choose(rows, read_limits(["dice>=0.95", "latency<=1s"], DICE), Objective("latency", True))
    assert found.row.phi == (0.5,) and [limit.text for limit in found.missed] == ["dice>=0.95"]


def test_less_can_be_better():
    rows = [row(0.1, 9.0, 1e9), row(0.3, 3.0, 2e9), row(0.5, 2.0, 3e9)]
    assert choose(rows, read_limits(["hd95<=3mm"], HD95), Objective("flops", True)).row.phi == (0.3,)
    assert choose(rows, read_limits(["flops<=2G"], HD95), Objective("score", True)).row.phi == (0.3,)


def test_what_was_not_measured_is_told():
    rows = [FrontierRow((0.1,), Interval(0.5, 0.5, 0.5), 1e9), FrontierRow((0.2,), Interval(None, None, None), 1e9)]
    with pytest.raises(FrontierError, match="latency was not measured"):
        choose(rows, read_limits(["latency<=1s"], DICE), Objective("score", False))
    with pytest.raises(FrontierError, match="memory was not measured"):
        choose(rows, [], Objective("memory", True))
    with pytest.raises(FrontierError):
        choose([], [], Objective("flops", True))
    assert choose(rows[::-1], read_limits(["dice>=0.1"], DICE), Objective("flops", True)).row is rows[0]
    assert math.isinf(read_limits(["dice>=0.1"], DICE)[0].miss(rows[1]))

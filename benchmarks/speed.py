"""Time of a training step, of generating weights, of folding and of folded inference, against the same plain network.

    python benchmarks/speed.py
    python benchmarks/speed.py --cases 2d-32 3d-hippocampus --operations training inference --rounds 40

Every network of a case runs in every round, in another order each time. A ratio is the median over rounds of time ÷
the plain network's time in the same round, with its quartiles. ``plain again`` is a second plain network: how far its
ratio is from 1, and how wide its quartiles lie, is what the machine's noise does to every other ratio.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.cases import CASES, Case, count_parameters
from benchmarks.options import add_common_options, chosen_device
from benchmarks.report import table, write_json
from benchmarks.timing import interleaved, ratios, spread
from benchmarks.workloads import OPERATIONS, PLAIN, contestant, program
from monai_hyperscale.search import Latency

__all__ = ["main", "measure"]

PLAIN_AGAIN = "plain again"
HEADER = ("case", "operation", "network", "parameters", "ms", "quartiles", "÷ plain", "quartiles", "bar")


def measure(
    name: str,
    case: Case,
    generators: Sequence[str],
    operations: Sequence[str],
    phi: float,
    rounds: int,
    device: torch.device,
) -> list[dict[str, Any]]:
    """Measure one case and return a row per operation and network.

    Args:
        name: of the case.
        case: what to measure.
        generators: names of :data:`benchmarks.cases.GENERATORS`.
        operations: names of :data:`benchmarks.workloads.OPERATIONS`.
        phi: rescaling factor, for all alike.
        rounds: samples per network.
        device: where to measure.
    """
    torch.manual_seed(0)
    rounds = min(rounds, case.rounds or rounds)
    networks = {who: contestant(case, who, device) for who in (PLAIN, PLAIN_AGAIN, *generators)}
    bars = case.bars if device.type == "cpu" else case.cuda_bars
    rows = []
    for operation in operations:
        # A plain network has no weights to generate.
        taking_part = [who for who in networks if operation != "generation" or who in generators]
        programs = {who: program(operation, networks[who], case, phi, device) for who in taking_part}
        times = interleaved(programs, rounds, device)
        del programs  # an optimiser's state is twice the network
        for who, seconds in times.items():
            ratio = ratios(seconds, times[PLAIN]) if PLAIN in times and who != PLAIN else None
            row: dict[str, Any] = {"case": name, "operation": operation, "network": who, "phi": phi}
            row |= {"parameters": count_parameters(networks[who]), "rounds": rounds, "seconds": asdict(spread(seconds))}
            row["ratio"] = None if ratio is None else asdict(ratio)
            row |= _judged(ratio, bars.get((operation, who)))
            if (operation, who) in case.limits:
                row |= _within(row["seconds"]["median"], case.limits[operation, who])
            rows.append(row)
    return rows


def _judged(ratio: Optional[Latency], bar: Optional[tuple[float, float]]) -> dict[str, Any]:
    if ratio is None or bar is None:
        return {"bar": None, "met": None}
    return {"bar": list(bar), "met": bar[0] <= ratio.median <= bar[1]}


def _within(seconds: float, limit: float) -> dict[str, Any]:
    return {"limit": limit, "met": seconds <= limit}


def _cells(row: dict[str, Any]) -> list[str]:
    seconds, ratio, bar = row["seconds"], row["ratio"], row["bar"]
    digits = 2 if seconds["median"] < 0.1 else 0
    bars = [] if bar is None else [f"{bar[0]:g}–{bar[1]:g}"]
    bars += [f"≤ {1e3 * row['limit']:g} ms"] if "limit" in row else []
    return [
        row["case"],
        row["operation"],
        row["network"],
        f"{row['parameters']:,}",
        f"{1e3 * seconds['median']:.{digits}f}",
        f"{1e3 * seconds['low']:.{digits}f}–{1e3 * seconds['high']:.{digits}f}",
        "" if ratio is None else f"{ratio['median']:.3f}",
        "" if ratio is None else f"{ratio['low']:.3f}–{ratio['high']:.3f}",
        " ".join([*bars, "met" if row["met"] else "MISSED"]) if bars else "",
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return 1 if a bar was missed under ``--check``, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, "speed.json")
    parser.add_argument("--operations", nargs="+", choices=OPERATIONS, default=OPERATIONS)
    parser.add_argument("--rounds", type=int, default=20, help="samples per network (default: %(default)s)")
    parser.add_argument("--check", action="store_true", help="exit with 1 if a ratio or a time is outside its bar")
    options = parser.parse_args(arguments)
    if options.rounds < 1:
        parser.error(f"--rounds must be at least 1, got {options.rounds}")
    device = chosen_device(parser, options)
    rows = []
    for name in options.cases:
        case = CASES[name]
        print(f"{name} …", file=sys.stderr, flush=True)
        generators = options.generators or case.generators
        rows += measure(name, case, generators, options.operations, options.phi, options.rounds, device)
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, device, vars(options), rows)
    print(f"\nwritten to {options.json}")
    return int(options.check and any(row["met"] is False for row in rows))


if __name__ == "__main__":
    sys.exit(main())

"""Peak memory of training steps and of folded inference, against the same plain network.

    python benchmarks/memory.py
    python benchmarks/memory.py --cases 3d-nnunet

Each figure comes from a process of its own. On a CPU it is the largest resident size less that before the network was
built, so libraries do not count; on a GPU it is the largest amount that torch held. Inference counts the folding too.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Optional

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.cases import CASES, Case, count_parameters
from benchmarks.options import add_common_options, chosen_device
from benchmarks.report import table, write_json
from benchmarks.workloads import PLAIN, contestant, program

__all__ = ["main", "peak_memory"]

OPERATIONS = ("training", "inference")
HEADER = ("case", "operation", "network", "parameters", "peak MiB", "÷ plain")
STEPS = 2  # the optimiser's state comes with the first, and the second runs beside it
MIB = 2**20


def peak_memory(case: Case, who: str, operation: str, phi: float, device: torch.device) -> tuple[int, int]:
    """Measure in this process, which must not have done so before.

    Returns:
        bytes at the peak, and parameters of the network.
    """
    peak = _cuda_peak(device) if device.type == "cuda" else _resident_peak()
    before = peak()
    torch.manual_seed(0)
    network = contestant(case, who, device)
    run = program(operation, network, case, phi, device)
    for _ in range(STEPS):
        run()
    return peak() - before, count_parameters(network)


def _cuda_peak(device: torch.device) -> Callable[[], int]:
    torch.cuda.reset_peak_memory_stats(device)
    return lambda: torch.cuda.max_memory_allocated(device)


def _resident_peak() -> Callable[[], int]:
    status = Path("/proc/self/status")
    if status.is_file():
        # Not getrusage, whose figure a process inherits from the one that started it.
        def peak() -> int:
            lines = dict(line.split(":", 1) for line in status.read_text(encoding="utf-8").splitlines())
            return int(lines["VmHWM"].split()[0]) * 1024

        return peak
    import resource  # absent on Windows

    unit = 1 if sys.platform == "darwin" else 1024
    return lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _in_own_process(name: str, who: str, operation: str, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, __file__, "--one", name, who, operation, "--phi", str(options.phi)]
    command += ["--device", options.device] if options.device else []
    command += ["--threads", str(options.threads)] if options.threads else []
    result = subprocess.run(command, capture_output=True, text=True)
    if result.returncode != 0:
        # Killed for want of memory, most likely, which is a result as well.
        reason = (result.stderr.strip().splitlines() or [f"exit status {result.returncode}"])[-1]
        return {"bytes": None, "parameters": None, "error": reason}
    measured: dict[str, Any] = json.loads(result.stdout.splitlines()[-1])
    return measured


def _cells(row: dict[str, Any]) -> list[str]:
    if row["bytes"] is None:
        return [row["case"], row["operation"], row["network"], "", row["error"], ""]
    ratio = "" if row["ratio"] is None else f"{row['ratio']:.2f}"
    return [row["case"], row["operation"], row["network"], f"{row['parameters']:,}", f"{row['bytes'] / MIB:.0f}", ratio]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return 1 if a process failed, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    add_common_options(parser, "memory.json")
    parser.add_argument("--one", nargs=3, metavar=("CASE", "NETWORK", "OPERATION"), help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    device = chosen_device(parser, options)
    if options.one:
        name, who, operation = options.one
        size, parameters = peak_memory(CASES[name], who, operation, options.phi, device)
        print(json.dumps({"bytes": size, "parameters": parameters}))
        return 0
    rows: list[dict[str, Any]] = []
    for name in options.cases:
        print(f"{name} …", file=sys.stderr, flush=True)
        for operation in OPERATIONS:
            plain = None
            for who in (PLAIN, *(options.generators or CASES[name].generators)):
                row = {"case": name, "operation": operation, "network": who, "phi": options.phi}
                row |= _in_own_process(name, who, operation, options)
                plain = row["bytes"] if who == PLAIN else plain
                row["ratio"] = row["bytes"] / plain if plain and row["bytes"] and who != PLAIN else None
                rows.append(row)
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, device, vars(options), rows)
    print(f"\nwritten to {options.json}")
    return int(any(row["bytes"] is None for row in rows))


if __name__ == "__main__":
    sys.exit(main())

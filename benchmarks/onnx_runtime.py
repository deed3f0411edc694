"""Inference of a folded bundle by ONNX Runtime against PyTorch on this CPU, at several φ.

    python benchmarks/onnx_runtime.py
    python benchmarks/onnx_runtime.py --bundle bundles/sshn_seg --phi 0.1 0.3 0.5 --size 36 52 36 --rounds 40

``PyTorch`` is the network as ``segment`` runs it (channels last, oneDNN where it is faster); ``TorchScript`` and
``ONNX Runtime`` are the files that ``fold`` writes, for images of any size. All run in every round, in another order
each time, with the same threads; a ratio is the median over rounds of time ÷ PyTorch's in the same round, with its
quartiles. ``PyTorch again`` is the machine's noise.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Optional

import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.report import table, write_json
from benchmarks.timing import interleaved, ratios, spread
from monai_hyperscale.bundle.locate import default_bundle
from monai_hyperscale.export.formats import FORMATS, missing_packages
from monai_hyperscale.export.source import FoldSource, Inputs
from monai_hyperscale.export.verify import compare
from monai_hyperscale.inference.inferers import channels_last
from monai_hyperscale.networks.layers.cpu_convolutions import CPUConvolutions
from monai_hyperscale.search.cost import count_flops

__all__ = ["main", "measure"]

PYTORCH, AGAIN = "PyTorch", "PyTorch again"
FILES = {"TorchScript": "torchscript", "ONNX Runtime": "onnx"}
CPU = torch.device("cpu")
HEADER = ("phi", "GFLOPs", "program", "ms", "quartiles", "÷ PyTorch", "quartiles", "difference")


def measure(source: FoldSource, size: Optional[Sequence[int]], rounds: int) -> list[dict[str, Any]]:
    """Measure a folded network and return a row per program.

    Args:
        source: the network and its φ.
        size: voxels per axis of the image; default: the bundle's.
        rounds: samples per program.
    """
    inputs = Inputs(source, size=size)
    x = inputs.example()
    programs: dict[str, Callable[[], object]] = {name: _pytorch(source, x) for name in (PYTORCH, AGAIN)}
    differences: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        for title, name in FILES.items():
            form = FORMATS[name]
            run = form.write(source, Path(folder) / Path(form.path).name, inputs.tracing(), True)
            differences[title] = compare(source, run, [x], source.folding.output_is_classes).difference
            programs[title] = _file(run, x)
        times = interleaved(programs, rounds, CPU)
    flops = count_flops(source.plain, x)
    rows = []
    for program, seconds in times.items():
        ratio = None if program == PYTORCH else asdict(ratios(seconds, times[PYTORCH]))
        row = {"phi": list(source.phi), "size": list(inputs.size), "flops": flops, "program": program}
        row |= {"rounds": rounds, "seconds": asdict(spread(seconds)), "ratio": ratio}
        rows.append({**row, "difference": differences.get(program)})
    return rows


def _pytorch(source: FoldSource, x: torch.Tensor) -> Callable[[], object]:
    layout: Any = torch.channels_last if x.dim() == 4 else torch.channels_last_3d
    folded = source.network.fold(**source.context)
    network = folded.eval().requires_grad_(False).to(memory_format=layout)  # type: ignore[call-overload]

    def infer() -> None:
        with torch.inference_mode(), CPUConvolutions():
            network(channels_last(x))

    return infer


def _file(run: Callable[[torch.Tensor], torch.Tensor], x: torch.Tensor) -> Callable[[], object]:
    def infer() -> None:
        with torch.inference_mode():
            run(x)

    return infer


def _cells(row: dict[str, Any]) -> list[str]:
    seconds, ratio, difference = row["seconds"], row["ratio"], row["difference"]
    return [
        ",".join(f"{value:g}" for value in row["phi"]),
        f"{row['flops'] / 1e9:.3g}",
        row["program"],
        f"{1e3 * seconds['median']:.2f}",
        f"{1e3 * seconds['low']:.2f}–{1e3 * seconds['high']:.2f}",
        "" if ratio is None else f"{ratio['median']:.3f}",
        "" if ratio is None else f"{ratio['low']:.3f}–{ratio['high']:.3f}",
        "" if difference is None else f"{difference:.1e}",
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bundle", type=Path, help="trained bundle (default: sshn_seg)")
    parser.add_argument("--phi", type=float, nargs="+", default=[0.1, 0.2, 0.3, 0.4, 0.5], help="default: 0.1 to 0.5")
    parser.add_argument("--size", type=int, nargs="+", help="voxels per axis (default: the bundle's)")
    parser.add_argument("--rounds", type=int, default=20, help="samples per program (default: %(default)s)")
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice, one per core)")
    parser.add_argument(
        "--json", type=Path, default=Path("runs", "benchmarks", "onnx_runtime.json"), help="default: %(default)s"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads is not None and options.threads < 1:
        parser.error("--rounds and --threads must be at least 1")
    absent = missing_packages(FORMATS["onnx"])
    if absent:
        parser.error(f"{', '.join(absent)} must be installed: pip install 'monai-hyperscale[export]'")
    if options.threads is not None:
        torch.set_num_threads(options.threads)
    rows = []
    try:
        for phi in options.phi:
            print(f"phi {phi:g} …", file=sys.stderr, flush=True)
            source = FoldSource.from_bundle(options.bundle or default_bundle(), phi)
            rows += measure(source, options.size, options.rounds)
    except ValueError as error:
        parser.error(str(error))
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, CPU, vars(options), rows)
    print(f"\nwritten to {options.json}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

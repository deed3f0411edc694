"""What a user waits for: ``monai-hyperscale segment`` on a volume of the size of a CT scan, stage by stage.

    python benchmarks/end_to_end.py
    python benchmarks/end_to_end.py --sizes 256 256 100 --phis 0.3 --patch-sizes 2

The scan is made up (a body of soft tissue and bone in Hounsfield units with noise, int16, oblique, compressed), and so
are the weights: both take the time and the memory that real ones take, but the labels mean nothing. The command runs in
a process of its own, once for every network and φ; its seconds per stage come from ``--report``, the peak of its
resident memory from the system. ``start`` is the interpreter's, before and after the command. What the network's
forward passes do not take is ``outside``: at most a quarter of the time is wanted, and at most 4 GiB of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # to run from a clone by the file's name

from benchmarks.report import table, write_json
from monai_hyperscale.bundle.settings import build_network, write_settings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

__all__ = ["main", "segment", "write_bundle", "write_scan"]

ROOT = Path(__file__).resolve().parents[1]
MOST_OUTSIDE = 0.25
MOST_MIB = 4096
STAGES = ("start", "preparation", "reading", "preprocessing", "network", "merging", "argmax", "resampling", "writing")
HEADER = ("patch size", "φ", *STAGES, "other", "total s", "outside", "peak MiB", "bars")


def write_scan(path: Path, sizes: Sequence[int], spacing: Sequence[float], seed: int = 0) -> None:
    """Write a made-up CT scan: int16, Hounsfield units, turned by 8 degrees, axes towards left, back and head.

    Args:
        path: of the NIfTI file.
        sizes: voxels per axis.
        spacing: voxel size in mm.
        seed: of the noise.
    """
    random = np.random.default_rng(seed)
    x, y = np.linspace(-1, 1, sizes[0])[:, None], np.linspace(-1, 1, sizes[1])[None]
    voxels = np.empty(tuple(sizes), np.int16, order="F")
    for z in range(sizes[2]):
        radius = np.hypot(x / 0.8, y / (0.6 + 0.1 * np.sin(z / 40)))
        tissue = 40 + 60 * np.sin(5 * x + z / 30) * np.cos(6 * y)
        plane = np.where(radius < 1, tissue, -1000) + random.normal(0, 15, radius.shape) * np.where(radius < 1, 1, 0.3)
        voxels[:, :, z] = np.rint(np.where(np.abs(radius - 0.9) < 0.04, plane + 600, plane))
    angle = np.deg2rad(8)
    turn = np.array([[-np.cos(angle), np.sin(angle), 0], [-np.sin(angle), -np.cos(angle), 0], [0, 0, 1]])
    affine = np.eye(4)
    affine[:3, :3], affine[:3, 3] = turn * spacing, (180, 150, -200)
    nib.save(nib.Nifti1Image(voxels, affine), path)


def write_bundle(
    folder: Path,
    labels: int,
    features: Sequence[int],
    roi_size: Sequence[int],
    patch_size: int = 1,
    spacing: Optional[Sequence[float]] = None,
) -> None:
    """Write a bundle with a network for CT whose weights are random.

    Args:
        folder: of the bundle.
        labels: besides the background.
        features: of the network's stages.
        roi_size: of the windows.
        patch_size: see :class:`monai_hyperscale.networks.ScaleSpaceUNet`.
        spacing: that the network sees; ``None`` for the scan's own.
    """
    torch.manual_seed(0)
    settings = SegmentationSettings(
        3,
        ("CT",),
        {index: f"organ {index}" for index in range(1, labels + 1)},
        spacing=None if spacing is None else tuple(spacing),
        roi_size=tuple(roi_size),
        network={"features": tuple(features), "norm": "group", "patch_size": patch_size},
        generator={"hidden": (16, 6)},
    )
    (folder / "models").mkdir(parents=True)
    torch.save(build_network(settings).state_dict(), folder / "models" / "model.pt")
    write_settings(settings, folder / "models" / "model.json")


def segment(scan: Path, bundle: Path, phi: float, threads: Optional[int] = None) -> dict[str, Any]:
    """Run the command in a process of its own and return what it took.

    Args:
        scan: the image.
        bundle: the network.
        phi: rescaling factor.
        threads: of torch; ``None`` for its own choice.

    Returns:
        ``seconds`` per stage with ``start`` and ``total``, ``outside`` (share of the time) and ``peak_mib``.

    Raises:
        RuntimeError: if the command fails.
    """
    label, report = scan.with_name("label.nii.gz"), scan.with_name("report.json")
    command = [sys.executable, "-m", "monai_hyperscale", "segment", str(scan), "-o", str(label), "--device", "cpu"]
    command += ["--bundle", str(bundle), "--phi", str(phi), "--report", str(report), "--overwrite"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    if threads is not None:
        environment["OMP_NUM_THREADS"] = str(threads)
    started = time.perf_counter()
    with tempfile.TemporaryFile() as told:
        process = subprocess.Popen(command, env=environment, stdout=told, stderr=told)
        peak = None
        if hasattr(os, "wait4"):
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
            peak = usage.ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)
        wall = time.perf_counter() - started if process.wait() == 0 else 0.0
        told.seek(0)
        if process.returncode != 0:
            # Killed for want of memory, most likely, if it says nothing.
            raise RuntimeError(told.read().decode().strip() or f"exit status {process.returncode}")
    content = json.loads(report.read_text(encoding="utf-8"))
    inside = content["seconds"]
    seconds = {"start": wall - inside["total"], **inside, "total": wall}
    return {
        "threads": content["threads"],
        "seconds": seconds,
        "outside": 1 - seconds["network"] / wall,
        "peak_mib": peak or content["peak_memory_mib"]["process"],
    }


def _row(options: argparse.Namespace, patch_size: int, phi: float, scan: Path, bundle: Path) -> dict[str, Any]:
    row: dict[str, Any] = {"patch_size": patch_size, "phi": phi, "voxels": int(np.prod(options.sizes))}
    row |= segment(scan, bundle, phi, options.threads)
    row["met"] = row["outside"] <= MOST_OUTSIDE and row["peak_mib"] <= MOST_MIB
    return row


def _cells(row: dict[str, Any]) -> list[str]:
    seconds = row["seconds"]
    return [
        str(row["patch_size"]),
        f"{row['phi']:g}",
        *(f"{seconds.get(stage, 0):.1f}" for stage in STAGES),
        f"{seconds['other']:.1f}",
        f"{seconds['total']:.1f}",
        f"{100 * row['outside']:.1f} %",
        f"{row['peak_mib']:.0f}",
        "met" if row["met"] else "MISSED",
    ]


def main(arguments: Optional[Sequence[str]] = None) -> int:
    """Run the command; return 1 if a bar was missed under ``--check``, else 0."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", nargs=3, type=int, default=(512, 512, 300), help="voxels of the scan")
    parser.add_argument("--spacing", nargs=3, type=float, default=(0.78, 0.78, 1.5), help="its voxel size in mm")
    parser.add_argument("--network-spacing", nargs=3, type=float, help="that the network sees (default: the scan's)")
    parser.add_argument("--labels", type=int, default=25)
    parser.add_argument("--features", nargs="+", type=int, default=(16, 32, 48, 64))
    parser.add_argument("--roi-size", nargs=3, type=int, default=(128, 128, 128), help="of the windows")
    parser.add_argument("--patch-sizes", nargs="+", type=int, default=(1, 2), help="one network for each")
    parser.add_argument("--phis", nargs="+", type=float, default=(0.1, 0.3, 0.5))
    parser.add_argument("--threads", type=int, help="CPU threads (default: torch's choice, one per core)")
    parser.add_argument("--folder", type=Path, help="where scan and bundles are made and kept (default: nowhere)")
    parser.add_argument("--json", type=Path, default=Path("runs", "benchmarks", "end_to_end.json"))
    parser.add_argument("--check", action="store_true", help="exit with 1 if a bar was missed")
    options = parser.parse_args(arguments)
    threads = 1 if options.threads is None else options.threads
    if min(*options.sizes, options.labels, *options.patch_sizes, threads) < 1:
        parser.error("sizes, labels, patch sizes and threads must be at least 1")
    if not all(0 <= phi <= 1 for phi in options.phis):
        parser.error(f"--phis must be numbers between 0 and 1, got {options.phis}")
    rows = []
    with ExitStack() as stack:
        folder = options.folder or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        folder.mkdir(parents=True, exist_ok=True)
        scan = folder / "scan.nii.gz"
        print("scan …", file=sys.stderr, flush=True)
        write_scan(scan, options.sizes, options.spacing)
        for patch_size in options.patch_sizes:
            bundle = Path(tempfile.mkdtemp(prefix=f"patch{patch_size}_", dir=folder))
            write_bundle(
                bundle, options.labels, options.features, options.roi_size, patch_size, options.network_spacing
            )
            for phi in options.phis:
                print(f"patch size {patch_size}, φ = {phi:g} …", file=sys.stderr, flush=True)
                rows.append(_row(options, patch_size, phi, scan, bundle))
                print(f"{rows[-1]['seconds']['total']:.0f} s", file=sys.stderr, flush=True)
    print(table(HEADER, [_cells(row) for row in rows]))
    write_json(options.json, torch.device("cpu"), vars(options), rows)
    print(f"\nwritten to {options.json}")
    return int(options.check and not all(row["met"] for row in rows))


if __name__ == "__main__":
    sys.exit(main())

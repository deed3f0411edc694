"""``monai-hyperscale fold``: a trained bundle in, a plain network for one φ out."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from monai_hyperscale.console.arguments import factors, listed, share
from monai_hyperscale.console.exit_codes import DONE
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.outputs import check_inputs

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from monai_hyperscale.bundle.network_settings import NetworkSettings

__all__ = ["DESCRIPTION", "SUMMARY", "add_arguments", "run"]

SUMMARY = "write a plain network for one phi: MONAI bundle, TorchScript, ONNX and more"
DESCRIPTION = """\
Fold a trained bundle for one rescaling factor phi and write the plain network:
a MONAI bundle that runs without this package, TorchScript, ONNX, torch.export
and safetensors. Each file is compared with the network before the folder appears,
on a test case of the data set that --dataset names, on the image that --image
names, or else on synthetic anatomy; manifest.json tells which, with sizes, hashes
and differences.

  monai-hyperscale fold bundles/sshn_seg --phi 0.3 -o folded --dataset DIR
  monai-hyperscale fold bundles/sshn_seg --phi 0.3 -o folded --image scan.nii.gz
  python -m monai.bundle run --config_file folded/configs/inference.json \\
    --dataset_dir scans --output_dir labels
"""
# Not imported, which takes seconds; a test holds it equal to monai_hyperscale.export.CHOICES.
FORMATS = ("bundle", "torchscript", "torch-export", "onnx", "safetensors")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the command's arguments."""
    parser.add_argument(
        "bundle", nargs="?", type=Path, metavar="BUNDLE", help="trained bundle; default: the hippocampus network"
    )
    parser.add_argument(
        "--phi",
        type=factors,
        required=True,
        metavar="PHI",
        help="rescaling factor in [0, 1]; with commas one per level, as in 0.5,0.4,0.3",
    )
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="OUT", help="folder to make")
    parser.add_argument(
        "--format",
        type=_formats,
        metavar="NAMES",
        help=f"some of {', '.join(FORMATS)}, with commas; default: all that can be written",
    )
    compared = parser.add_mutually_exclusive_group()
    compared.add_argument(
        "--dataset", type=Path, metavar="DIR", help="compare on the first test case of this data set (or pair of cases)"
    )
    compared.add_argument(
        "--image",
        nargs="+",
        type=Path,
        metavar="FILE",
        help="compare on this image (several files: its channels; for registration the moving and the fixed image); "
        "default: synthetic anatomy",
    )
    parser.add_argument(
        "--size",
        type=_size,
        metavar="N,N,N",
        help="voxels per axis to compare at, and of files that can only be for one size; default: the image's, else "
        "the bundle's",
    )
    parser.add_argument(
        "--regularization", type=share, metavar="LAMBDA", help="for registration networks trained for several"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace a folder that an earlier fold wrote")


def run(args: argparse.Namespace) -> int:
    """Fold the bundle and return the exit code."""
    images = args.image or []
    # Before the imports, which take seconds.
    check_inputs([*images, args.dataset, args.bundle])
    from monai_hyperscale.bundle.locate import default_bundle
    from monai_hyperscale.errors import ExportError, HyperscaleError
    from monai_hyperscale.export.fold import check_output, write_fold
    from monai_hyperscale.export.manifest import input_text
    from monai_hyperscale.export.real_input import RealInput
    from monai_hyperscale.export.source import FoldSource

    try:
        bundle = default_bundle() if args.bundle is None else args.bundle
        check_output(args.output, bundle, args.overwrite)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    try:
        source = FoldSource.from_bundle(bundle, args.phi, args.regularization)
    except ExportError as error:
        raise argparse.ArgumentTypeError(str(error)) from error
    except HyperscaleError:
        raise
    except ValueError as error:  # another number of factors than the network has levels
        raise argparse.ArgumentTypeError(str(error)) from error
    low, high = source.settings.phi_range
    if not source.settings.trained_for(args.phi):
        say(f"warning: the network was trained for phi from {low:g} to {high:g}, not for {listed(args.phi)}.")
    read, data = _read(images, source.settings), None
    if args.dataset is not None:
        found = RealInput.from_dataset(args.dataset, source.settings)
        read, data = list(found.images), found.data
    manifest = write_fold(source, args.output, args.format, read, args.size, args.overwrite, say, data)
    cost, compared = manifest["cost"], manifest["verified_on"]
    way_out = "; for a real one add --dataset DIR or --image FILE" if compared["synthetic"] else ""
    say(f"compared with the network on {input_text(compared)}{way_out}")
    size = " x ".join(map(str, cost["size"]))
    say(
        f"wrote {args.output}: {source.name} at phi {listed(args.phi)}, {cost['flops'] / 1e9:.3g} GFLOPs for {size} "
        f"voxels, {cost['parameters']:,} parameters"
    )
    return DONE


def _read(paths: list[Path], settings: NetworkSettings) -> list[MetaTensor]:
    from monai_hyperscale.io import read_image

    if not paths:
        return []
    if settings.task == "registration":
        if len(paths) != 2:
            raise argparse.ArgumentTypeError(
                f"--image needs the moving and the fixed image for registration, got {len(paths)} file"
                f"{'s' * (len(paths) > 1)}."
            )
        return [read_image(path, len(settings.channels), only_finite=True) for path in paths]
    return [read_image(paths, settings.in_channels)]


def _formats(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise argparse.ArgumentTypeError(f"formats are {', '.join(FORMATS)}, got {', '.join(unknown)!r}.")
    return names


def _size(text: str) -> tuple[int, ...]:
    parts = text.split(",")
    if not 2 <= len(parts) <= 3 or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise argparse.ArgumentTypeError(f"a size is two or three whole numbers with commas, got {text!r}.")
    return tuple(int(part) for part in parts)

"""``monai-hyperscale fold``: a trained bundle in, a plain network for one φ out."""

from __future__ import annotations

import rich_click as click

from monai_hyperscale.console.command import DONE, Arguments, Existing, Several, command, wrong_arguments
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import DATASET, PATH, SHARE, bundle_argument, factors, listed, sizes

# Not imported, which takes seconds; a test holds it equal to monai_hyperscale.export.CHOICES.
FORMATS = ("bundle", "torchscript", "torch-export", "onnx", "safetensors")


def _formats(text: str) -> list[str]:
    names = text.split(",")
    unknown = [name for name in names if name not in FORMATS]
    if unknown:
        raise click.BadParameter(f"formats are {', '.join(FORMATS)}, got {', '.join(unknown)!r}.")
    return names


@command(
    "fold",
    "write a plain network for one phi: MONAI bundle, TorchScript, ONNX and more",
    exclusive=[("--dataset", "--image")],
)
@bundle_argument
@click.option(
    "--phi",
    type=factors,
    required=True,
    metavar="PHI",
    help="rescaling factor in [0, 1]; with commas one per level, as in 0.5,0.4,0.3",
)
@click.option("-o", "--output", type=PATH, required=True, metavar="OUT", help="folder to make")
@click.option(
    "--format",
    type=_formats,
    metavar="NAMES",
    help=f"some of {', '.join(FORMATS)}, with commas; default: all that can be written",
)
@click.option(
    "--dataset", type=DATASET, metavar="DIR", help="compare on the first test case of this data set (or pair of cases)"
)
@click.option(
    "--image",
    cls=Several,
    type=Existing("image"),
    metavar="FILE...",
    help="compare on this image (several files: its channels; for registration the moving and the fixed image); "
    "default: synthetic anatomy",
)
@click.option(
    "--size",
    type=sizes,
    metavar="N,N,N",
    help="voxels per axis to compare at, and of files that can only be for one size; default: the image's, else the "
    "bundle's",
)
@click.option("--regularization", type=SHARE, metavar="LAMBDA", help="for registration networks trained for several")
@click.option("--overwrite", is_flag=True, help="replace a folder that an earlier fold wrote")
def fold(args: Arguments) -> int:
    r"""Fold a trained bundle for one rescaling factor phi and write the plain network.

    A MONAI bundle that runs without this package, TorchScript, ONNX, torch.export and safetensors. Each file is
    compared with the network before the folder appears, on a test case of the data set that --dataset names, on the
    image that --image names, or else on synthetic anatomy; manifest.json tells which, with sizes, hashes and
    differences.

      monai-hyperscale fold bundles/sshn_seg --phi 0.3 -o folded --dataset DIR
      monai-hyperscale fold bundles/sshn_seg --phi 0.3 -o folded --image scan.nii.gz
      python -m monai.bundle run --config_file folded/configs/inference.json \
        --dataset_dir scans --output_dir labels
    """
    from monai_hyperscale.bundle.locate import default_bundle
    from monai_hyperscale.errors import ExportError
    from monai_hyperscale.export.fold import check_output, write_fold
    from monai_hyperscale.export.source import FoldSource

    bundle = args.bundle or default_bundle()
    with wrong_arguments(ExportError):
        check_output(args.output, bundle, args.overwrite)
        source = FoldSource.from_bundle(bundle, args.phi, regularization=args.regularization)
    low, high = source.settings.phi_range
    if not source.settings.context["phi"].trained(args.phi):
        say(f"warning: the network was trained for phi from {low:g} to {high:g}, not for {listed(args.phi)}.")
    images = []
    if args.image:
        with wrong_arguments(ExportError, "--image: "):
            images = source.folding.read(list(args.image))
    manifest = write_fold(source, args.output, args.format, images, args.size, args.overwrite, args.dataset, say)
    cost, compared = manifest.cost, manifest.verified_on
    way_out = "; for a real one add --dataset DIR or --image FILE" if compared.synthetic else ""
    say(f"compared with the network on {compared}{way_out}")
    size = " x ".join(map(str, cost.size))
    say(
        f"wrote {args.output}: {source.name} at phi {listed(args.phi)}, {cost.flops / 1e9:.3g} GFLOPs for {size} "
        f"voxels, {cost.parameters:,} parameters"
    )
    return DONE

"""``monai-hyperscale register``: two images in, the moved image and the field out."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Optional

import rich_click as click

from monai_hyperscale.console import options
from monai_hyperscale.console.command import DONE, Arguments, Existing, command
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.outputs import FIELDS, check_outputs, image_suffixes, written_together
from monai_hyperscale.errors import ArgumentError
from monai_hyperscale.tasks.commands import file_option, max_voxels_option, opened, phi_option

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from monai_hyperscale.tasks.registration.registrar import Registration

    Images = dict[str, MetaTensor]


@command("register", "register a moving image to a fixed one at any phi", exclusive=[("--affine", "--centres")])
@click.argument("moving", type=Existing("image"), help="image to move (NIfTI, MGZ, MHA, NRRD; PNG for 2D)")
@click.argument("fixed", type=Existing("image"), help="image to move it onto; its grid is the output's")
@click.option("-o", "--output", required=True, type=options.PATH, metavar="MOVED", help="moved image to write")
@file_option("--field", "write the displacement field, on the fixed grid")
@file_option("--inverse-field", "write the field from moving to fixed, on the moving grid")
@file_option("--labels", "label map of the moving image", Existing("label map"))
@file_option("--labels-out", "write --labels moved, by nearest neighbour")
@file_option(
    "--fixed-labels",
    "label map of the fixed image; the report tells the Dice, with the names of a table NAME.tsv (BIDS) beside it",
    Existing("label map"),
)
@options.bundle_option
@phi_option
@click.option(
    "--regularization",
    type=options.SHARE,
    metavar="LAMBDA",
    help="smoothness of the field in [0, 1], for networks trained for a range of it; default: its middle",
)
@click.option("--affine", is_flag=True, help="align by an affine transform first (SimpleITK)")
@click.option("--centres", is_flag=True, help="lay the middles of the images on each other first, as for crops")
@click.option(
    "--instance-optimization",
    type=click.IntRange(min=0),
    default=0,
    metavar="N",
    help="refine this pair by N steps of gradient descent, from the network's field",
)
@options.placement_options
@options.device_option
@click.option(
    "--precision",
    type=click.Choice(["fp32", "bf16", "fp16"]),
    default="fp32",
    help="of the network; bf16 is faster where the processor has it",
)
@options.overwrite_option
@options.force_option
@click.option(
    "--keep",
    type=click.Choice(["better", "start", "network"]),
    default="better",
    help="what comes out: the network's field, the alignment at the start alone, or the better by image similarity",
)
@file_option("--preview", "write a picture: checkerboard and differences", metavar="FILE.png")
@file_option("--report", "write seconds, memory, folds, Dice and more", metavar="FILE.json")
@max_voxels_option("larger images go through the network with larger voxels")
def register(args: Arguments) -> int:
    r"""Register a moving image to a fixed one with a trained network at any rescaling factor phi.

    Sizes, spacings and orientations may differ: the moved image has the grid of the fixed one. Fields are written in
    ITK's convention, for SimpleITK, ANTs and `monai-hyperscale apply-field` to use; what --affine or --centres does is
    part of them.

      monai-hyperscale register moving.nii.gz fixed.nii.gz -o moved.nii.gz \
        --field field.nii.gz --phi 0.3 --affine
      monai-hyperscale register moving.nii.gz fixed.nii.gz -o moved.nii.gz \
        --labels moving_seg.nii.gz --labels-out moved_seg.nii.gz --report report.json
    """
    started = time.perf_counter()
    # Before the imports, which take seconds.
    _check_files(args)
    from monai_hyperscale.console.resources import peak_memory_mib
    from monai_hyperscale.inference.devices import timed
    from monai_hyperscale.inference.resampling import check_together
    from monai_hyperscale.io.grids import grid_of
    from monai_hyperscale.io.images import read_image
    from monai_hyperscale.io.labels import read_label_image, table_beside
    from monai_hyperscale.tasks.registration.registrar import Registrar

    places = options.placement(args)
    given = {"max_voxels": args.max_voxels, "precision": args.precision, "force": args.force, "keep": args.keep}
    registrar = opened(args, Registrar, "sshn_reg", given, regularization=args.regularization)
    seconds = {"preparation": time.perf_counter() - started}
    files = {"moving": args.labels, "fixed": args.fixed_labels}
    with timed(seconds, "reading"):
        channels = len(registrar.settings.channels)
        images = {kind: read_image(getattr(args, kind), channels, True, places) for kind in files}
        labels = {kind: read_label_image(path, places) for kind, path in files.items() if path is not None}
        for kind, label in labels.items():
            check_together(label, images[kind])
            if not grid_of(label).same_as(grid_of(images[kind]), tolerance=0.01):
                say(f"warning: the label map {files[kind]} is on another grid than its image; is it of another?")
    result = registrar.register(
        images["moving"],
        images["fixed"],
        args.phi if len(args.phi) > 1 else args.phi[0],
        start="affine" if args.affine else "centres" if args.centres else "header",
        instance_steps=args.instance_optimization,
        regularization=args.regularization,
    )
    report: dict[str, Any] = {"moving": str(args.moving), "fixed": str(args.fixed), **result.report}
    if args.inverse_field is not None:
        with timed(seconds, "inverse"):
            report["inverse_residual_voxels"] = result.inverse[1]._asdict()
    moved_labels = result.apply(labels["moving"], nearest=True) if "moving" in labels else None
    if moved_labels is not None and "fixed" in labels:
        # What the network's own labels are called says nothing of other label maps.
        names = {**table_beside(args.labels), **table_beside(args.fixed_labels)}
        report["dice"] = _dice(result, labels, moved_labels, names)
    report["seconds"] = {**seconds, **report["seconds"], "total": time.perf_counter() - started}
    report["peak_memory_mib"] = peak_memory_mib(str(registrar.device))
    report["device"] = str(registrar.device)
    _write(args, result, images, moved_labels, report)
    _tell(args, report)
    return DONE


def _check_files(args: Arguments) -> None:
    inputs = (args.moving, args.fixed, args.labels, args.fixed_labels)
    if (args.labels_out is not None or args.fixed_labels is not None) and args.labels is None:
        option = "--labels-out" if args.labels_out is not None else "--fixed-labels"
        raise ArgumentError(f"{option} needs the moving image's label map, --labels.")
    if args.labels is not None and args.labels_out is None and args.fixed_labels is None:
        raise ArgumentError("--labels needs --labels-out to write them moved, or --fixed-labels to compare.")
    images = image_suffixes(args.fixed)
    outputs = {
        "--output": (args.output, images),
        "--field": (args.field, FIELDS),
        "--inverse-field": (args.inverse_field, FIELDS),
        "--labels-out": (args.labels_out, images),
        "--preview": (args.preview, (".png",)),
        "--report": (args.report, (".json",)),
    }
    check_outputs(outputs, inputs, args.overwrite)


def _dice(result: Registration, labels: Images, moved: MetaTensor, names: dict[int, str]) -> dict[str, Any]:
    """Return the Dice of every label as the files lie, after the alignment at the start, and after registration."""
    from monai_hyperscale.search.metrics import METRICS
    from monai_hyperscale.search.statistics import case_score

    fixed = result.onto_fixed(labels["fixed"], nearest=True)
    values = [value for value in fixed.as_tensor().unique().tolist() if value]
    maps = {"before": result.onto_fixed(labels["moving"], nearest=True)}
    if result.report["start"]["kind"] != "header":
        maps["start"] = result.onto_fixed(labels["moving"], result.start, nearest=True)
    maps["after"] = moved
    found: dict[str, Any] = {}
    for when, label in maps.items():
        scores = METRICS["dice"](label.as_tensor(), fixed.as_tensor(), values)
        found[when] = {
            "mean": case_score(scores),
            "labels": {names.get(value, str(value)): score for value, score in zip(values, scores, strict=True)},
        }
    return found


def _write(
    args: Arguments, result: Registration, images: Images, labels: Optional[MetaTensor], report: dict[str, Any]
) -> None:
    from monai_hyperscale.io.files import write_text
    from monai_hyperscale.io.images import image_source
    from monai_hyperscale.io.labels import write_image, write_label
    from monai_hyperscale.tasks.registration.pictures import save_registration_preview

    moving, source = images["moving"], image_source(images["fixed"])
    writers: dict[Path, Callable[[Path], None]] = {}
    if args.field is not None:
        writers[args.field] = result.write_field
    if args.inverse_field is not None:
        writers[args.inverse_field] = partial(result.write_field, inverse=True)
    if args.labels_out is not None and labels is not None:
        values = labels[0].numpy().astype("int64").reshape(source.shape)
        writers[args.labels_out] = lambda path: write_label(values, path, source)
    if args.preview is not None:
        lying = result.onto_fixed(moving, result.start, outside=float(moving.min()))
        title = f"{args.moving.name} onto {args.fixed.name}, phi = {options.listed(args.phi)}"
        seen = result.onto_fixed(images["fixed"])
        writers[args.preview] = lambda path: save_registration_preview(seen, lying, result.moved, path, title)
    if args.report is not None:
        text = json.dumps(report, indent=2) + "\n"
        writers[args.report] = lambda path: write_text(path, text)
    # Last, so that it comes into place last: a moved image that exists is that of a pair that is done.
    writers[args.output] = lambda path: write_image(result.moved, path, source)
    with written_together(list(writers)) as temporaries:
        for write, temporary in zip(writers.values(), temporaries, strict=True):
            write(temporary)


# Heads in one template's space correlate by about 0.8, 10 mm apart by 0.7; two scans as they come by 0.6 and less.
_POOR_START = 0.7
_WHEN = {"before": "before", "start": "at the start", "after": "after"}


def _tell(args: Arguments, report: dict[str, Any]) -> None:
    facts = [
        "correlation " + ", ".join(f"{_figure(value)} {_WHEN[when]}" for when, value in report["correlation"].items()),
        f"{100 * report['folded_share']:.2g} % of the voxels folded",
        f"{report['seconds']['total']:.1f} s",
    ]
    say(f"wrote {args.output} ({', '.join(facts)})")
    before = report["correlation"].get("before")
    if before is not None and before < _POOR_START:
        say(
            f"hint: the images are not aligned as they lie (correlation {before:.3f}); --affine aligns them first, "
            "--centres lays the middles of crops on each other."
        )
    if args.verbose:
        say(json.dumps(report))
    if "dice" in report:
        told = [f"{when} {_figure(dice['mean'])}" for when, dice in report["dice"].items() if dice["labels"]]
        say(f"mean Dice {', '.join(told)}")
        means = {when: dice["mean"] for when, dice in report["dice"].items()}
        if None in means.values() or means["after"] == max(means.values()):
            return
        if means["before"] == max(means.values()) and "start" in means:
            option = f"--{report['start']['kind']}"
            say(f"warning: by Dice the images as they lie are better than the result; {option} does harm here.")
        elif report["kept"] == "network":
            say("warning: by Dice the result is worse than what it started from; --keep start takes that.")


def _figure(value: Optional[float]) -> str:
    return "none" if value is None else f"{value:.3f}"

"""``monai-hyperscale segment``: images in, label maps out."""

from __future__ import annotations

import json
import sys
import time
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click

from monai_hyperscale.console import options
from monai_hyperscale.console.command import DONE, FAILED, Arguments, Existing, command, wrong_arguments
from monai_hyperscale.console.messages import say, unexpected
from monai_hyperscale.console.resources import added_up, outside_network, peak_memory_mib, stage_table
from monai_hyperscale.errors import ArgumentError, ImageError
from monai_hyperscale.tasks.commands import file_option, max_voxels_option, opened, phi_option

if TYPE_CHECKING:
    import numpy as np

    from monai_hyperscale.console.jobs import Job
    from monai_hyperscale.io import Placement
    from monai_hyperscale.tasks.segmentation.segmenter import Segmenter


@command("segment", "segment images with a trained network at any phi", exclusive=[("--overwrite", "--skip-existing")])
@click.argument(
    "images",
    nargs=-1,
    required=True,
    type=Existing("image"),
    metavar="IMAGE...",
    help="image files (NIfTI, MGZ, MHA, MHD, NRRD; PNG and the like for networks of 2D images), or one folder",
)
@click.option(
    "-o",
    "--output",
    required=True,
    metavar="OUT",
    help="label file for one image; folder (made if missing) for several, with outputs named after the images",
)
@options.bundle_option
@phi_option
@options.placement_options
@options.device_option
@options.overwrite_option
@click.option("--skip-existing", is_flag=True, help="leave images alone whose output exists")
@click.option(
    "--suffix", default="", show_default=False, help="put this after the image's name in the output's, such as _seg"
)
@file_option("--volumes", "write the volume of every label in mm3, as .json or .csv")
@file_option("--report", "write the seconds of every stage and the peak memory", metavar="FILE.json")
@options.force_option
@click.option("--preview", is_flag=True, help="write a picture NAME_preview.png beside every output")
@max_voxels_option("images of more voxels go through in overlapping windows")
def segment(args: Arguments) -> int:
    """Segment images with a trained network at any rescaling factor phi.

    The label map has the grid, affine and orientation of its image.

      monai-hyperscale segment scan.nii.gz -o labels.nii.gz --phi 0.3
      monai-hyperscale segment scans/ -o labels/ --volumes volumes.json --preview

    For networks of several channels, case_0000.nii.gz, case_0001.nii.gz, ... are the channels of one image, and its
    label map is named after the case.
    """
    started = time.perf_counter()
    from monai_hyperscale.bundle.locate import default_bundle
    from monai_hyperscale.bundle.settings import read_settings
    from monai_hyperscale.console.jobs import plan_jobs
    from monai_hyperscale.inference.networks import model_folder
    from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

    tables = _tables(args)
    with wrong_arguments():
        bundle = default_bundle() if args.bundle is None else args.bundle
    settings = read_settings(model_folder(bundle) / "model.json", SegmentationSettings)
    jobs = plan_jobs(
        args.images,
        args.output,
        suffix=args.suffix,
        preview=args.preview,
        existing="overwrite" if args.overwrite else "skip" if args.skip_existing else "refuse",
        other_outputs=tables,
        channels=settings.in_channels,
    )
    places = options.placement(args)

    from tqdm import tqdm

    from monai_hyperscale.inference.devices import measured
    from monai_hyperscale.io.files import write_text
    from monai_hyperscale.tasks.segmentation.segmenter import Segmenter
    from monai_hyperscale.tasks.segmentation.volumes import volume_table

    segmenter = opened(args, Segmenter, "sshn_seg", {"max_voxels": args.max_voxels, "force": args.force})
    for folder in (jobs[0].output.parent, *(path.parent for path in tables)):
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise ArgumentError(f"folder {folder} cannot be made ({error.strerror}).") from error

    preparation = time.perf_counter() - started
    entries: list[dict[str, Any]] = []
    times: list[dict[str, Any]] = []
    failed = 0
    for job in tqdm(jobs, unit="image", file=sys.stderr, disable=len(jobs) == 1 and not sys.stderr.isatty()):
        with measured() as seconds:
            try:
                entries.append(_segment(job, segmenter, places, args))
            except Exception as error:  # one bad image must not take the others along
                failed += 1
                if args.debug:
                    traceback.print_exc()
                say(f"error: {_reason(job, error, args.debug)}")
            else:
                if not job.skip:
                    told = {key: entries[-1].get(key) for key in ("image", "output", "unlike_training")}
                    times.append({key: value for key, value in told.items() if value} | {"seconds": seconds})
    if args.volumes is not None and entries:
        as_table = args.volumes.suffix.lower() == ".csv"
        text = volume_table(entries) if as_table else json.dumps({"unit": "mm3", "images": entries}, indent=2) + "\n"
        write_text(args.volumes, text)
    _tell_times(args, bundle, segmenter, times, preparation, started)
    more = [args.volumes] * (args.volumes is not None and bool(entries)) + [args.report] * bool(args.report and times)
    return _conclude(jobs, failed, more)


def _tables(args: Arguments) -> list[Path]:
    """Return the files that are written once for all images."""
    tables = {"--volumes": (args.volumes, (".json", ".csv")), "--report": (args.report, (".json",))}
    given = {option: path for option, (path, _) in tables.items() if path is not None}
    for option, path in given.items():
        suffixes = tables[option][1]
        if path.suffix.lower() not in suffixes:
            raise ArgumentError(f"{option} is a file that ends in {' or '.join(suffixes)}, got {path}.")
    if len({path.resolve() for path in given.values()}) < len(given):
        raise ArgumentError(f"--volumes and --report are the same file {args.report}; name two.")
    return list(given.values())


def _segment(job: Job, segmenter: Segmenter, places: Placement, args: Arguments) -> dict[str, Any]:
    """Do one image; return what is known of it for the volumes file."""
    from monai_hyperscale.inference.devices import stage
    from monai_hyperscale.io.images import image_source, read_image
    from monai_hyperscale.io.labels import write_label
    from monai_hyperscale.tasks.segmentation.pictures import save_preview
    from monai_hyperscale.tasks.segmentation.volumes import label_volumes

    # Of an output that was there already nothing tells the phi.
    phi = None if job.skip else args.phi[0] if len(args.phi) == 1 else list(args.phi)
    files = [str(path) for path in job.files]
    entry: dict[str, Any] = {"image": files[0] if len(files) == 1 else files, "output": str(job.output), "phi": phi}
    if job.skip and args.volumes is None:
        return entry
    started = time.perf_counter()
    with stage("reading"):
        image = read_image(job.files, segmenter.settings.in_channels, placement=places)
        source = image_source(image)
        label = _label_there(job, segmenter) if job.skip else None
    if label is None:
        label = segmenter.segment(image, args.phi)
        if (unlike := segmenter.unlike(image)) is not None:
            entry["unlike_training"] = f"{job.image} {unlike}"
        if job.preview is not None:
            title = f"{job.image.name}, phi = {options.listed(args.phi)}"
            with stage("preview"):
                save_preview(image, label, job.preview, segmenter.settings.value_names, title)
        # Last, so that an output that exists is that of an image that is done.
        with stage("writing"):
            write_label(label, job.output, image)
        if args.verbose:
            say(f"{job.image} -> {job.output} ({time.perf_counter() - started:.1f} s)")
    if args.volumes is not None:
        with stage("volumes"):
            affine = None if source.is_picture else source.affine
            entry["labels"] = label_volumes(label, affine, segmenter.settings.value_names)
    return entry


def _label_there(job: Job, segmenter: Segmenter) -> np.ndarray:
    from monai_hyperscale.data.labels import label_counts
    from monai_hyperscale.errors import ImageError
    from monai_hyperscale.io.labels import read_label

    label = read_label(job.output)
    foreign = sorted(label_counts(label).keys() - segmenter.settings.value_names.keys() - {0})
    if foreign:
        raise ImageError(
            f"{job.output} holds the label {foreign[0]}, which this network does not draw: it is none of its label "
            "maps; name another output, or leave --volumes out."
        )
    return label


def _reason(job: Job, error: Exception, debug: bool) -> str:
    if isinstance(error, ImageError):
        return str(error)
    if isinstance(error, MemoryError):
        return f"{job.image} does not fit into memory; try a smaller --max-voxels."
    if isinstance(error, OSError):
        return f"{job.image}: {error}."
    return f"{job.image}: {unexpected(error, debug)}"


def _tell_times(
    args: Arguments, bundle: Path, segmenter: Segmenter, times: list[dict[str, Any]], preparation: float, started: float
) -> None:
    """Show and write where the time went, if that is asked for and an image is done."""
    if not times or not (args.verbose or args.report):
        return
    import torch

    from monai_hyperscale.io.files import write_text

    seconds = added_up([image["seconds"] for image in times], preparation, time.perf_counter() - started)
    peak = peak_memory_mib(str(segmenter.device))
    if args.verbose:
        for line in stage_table(seconds, peak):
            say(line)
    if args.report is not None:
        report = {
            "bundle": str(bundle),
            "phi": args.phi[0] if len(args.phi) == 1 else list(args.phi),
            "device": str(segmenter.device),
            "threads": torch.get_num_threads(),
            "images": times,
            "seconds": seconds,
            "share_outside_network": outside_network(seconds),
            "peak_memory_mib": peak,
        }
        write_text(args.report, json.dumps(report, indent=2) + "\n")


def _conclude(jobs: list[Job], failed: int, tables: list[Path]) -> int:
    """Say what was done and where it is; return the exit code."""
    skipped = sum(job.skip for job in jobs)
    if len(jobs) > 1 or skipped:
        done = len(jobs) - failed - skipped
        parts = [f"{done} of {len(jobs)} images segmented"]
        parts += [f"{skipped} skipped"] if skipped else []
        parts += [f"{failed} failed"] if failed else []
        say(", ".join(parts) + f"; outputs in {jobs[0].output.parent}")
        written = tables
    else:
        pictures = [job.preview for job in jobs if job.preview is not None]
        written = [] if failed else [jobs[0].output, *pictures, *tables]
    if written:
        say(f"wrote {', '.join(map(str, written))}")
    return FAILED if failed else DONE

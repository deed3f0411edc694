"""``monai-hyperscale apply-field``: an image and a displacement field in, the moved image out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import rich_click as click

from monai_hyperscale.console.command import DONE, Arguments, Existing, command
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import PATH, overwrite_option, placement, placement_options
from monai_hyperscale.console.outputs import check_outputs, image_suffixes, written_together
from monai_hyperscale.errors import ArgumentError

if TYPE_CHECKING:
    from monai.data import MetaTensor

    from monai_hyperscale.io.images import ImageSource


@command("apply-field", "resample an image by a displacement field")
@click.argument("image", type=Existing("image"), help="image in the space of the moving image")
@click.argument("field", type=Existing("field"), help="displacement field (NIfTI, MHA, NRRD)")
@click.option("-o", "--output", required=True, type=PATH, metavar="OUT", help="moved image to write")
@click.option("--labels", is_flag=True, help="IMAGE is a label map: take the nearest voxel")
@click.option(
    "--fixed",
    type=Existing("image"),
    metavar="FILE",
    help="the fixed image: checks that the field is on its grid, keeps its header",
)
@click.option(
    "--outside", type=float, metavar="VALUE", help="value of what lies outside IMAGE; default: its least, or label 0"
)
@placement_options
@overwrite_option
def apply_field(args: Arguments) -> int:
    """Resample an image, or a label map, by a displacement field in ITK's convention.

    Such as `monai-hyperscale register --field` and ANTs write it. The output has the grid of the field.

      monai-hyperscale apply-field moving.nii.gz field.nii.gz -o moved.nii.gz
      monai-hyperscale apply-field moving_seg.nii.gz field.nii.gz -o moved_seg.nii.gz --labels
    """
    inputs = (args.image, args.field, args.fixed)
    check_outputs({"--output": (args.output, image_suffixes(args.image))}, inputs, args.overwrite)
    if args.labels and args.outside is not None and (args.outside < 0 or not args.outside.is_integer()):
        raise ArgumentError(f"--outside of labels is a whole number of at least 0, got {args.outside:g}.")
    import torch
    from monai.data import MetaTensor

    from monai_hyperscale.errors import RegistrationError
    from monai_hyperscale.inference.resampling import as_placed, resample
    from monai_hyperscale.io.fields import read_field
    from monai_hyperscale.io.grids import grid_of
    from monai_hyperscale.io.labels import write_image, write_label

    field = read_field(args.field)
    image = _image(args)
    source = _source(args, image, field)
    image = as_placed(image, field.dim() - 1)
    grid = grid_of(field)
    inside = MetaTensor(torch.ones(image.shape, dtype=torch.uint8), affine=image.affine)
    if not bool(resample(inside, grid, field=field, nearest=True).any()):
        raise RegistrationError(
            f"the field {args.field} leads nowhere into {args.image}; name an image in the space of the moving image."
        )
    least = 0.0 if args.labels else float(image.min())
    outside = least if args.outside is None else args.outside
    moved = resample(image, grid, field=field, nearest=args.labels, outside=outside)
    with written_together([args.output]) as (temporary,):
        if args.labels:
            write_label(moved[0].numpy().round().astype("int64").reshape(source.shape), temporary, source)
        else:
            write_image(moved, temporary, source)
    say(f"wrote {args.output}")
    return DONE


def _image(args: Arguments) -> MetaTensor:
    """Return the image where the options say, else where ITK has it, in whose convention the field is."""
    import numpy as np
    import torch

    from monai_hyperscale.io.fields import to_itk
    from monai_hyperscale.io.images import image_source, read_image, split_suffix
    from monai_hyperscale.io.labels import read_label_image
    from monai_hyperscale.io.nifti import BY_HEADER, NIFTI_SUFFIXES, Placement

    chosen = taken = placement(args)
    if chosen == BY_HEADER and split_suffix(args.image)[1] in NIFTI_SUFFIXES:
        taken = Placement("sform", "RAS")  # any, since ITK's place comes after it
    image = read_label_image(args.image, taken) if args.labels else read_image(args.image, 1, True, taken)
    theirs = to_itk(image_source(image)) if chosen == BY_HEADER else np.eye(4)
    if not np.array_equal(theirs, np.eye(4)):
        say(
            f"warning: the header of {args.image} leaves a choice where it lies (sform and qform disagree, or give no "
            "orientation); ITK's choice counts, as for the field. --header or --orientation make another."
        )
        image.affine = torch.as_tensor(theirs) @ image.affine
    return image


def _source(args: Arguments, image: MetaTensor, field: MetaTensor) -> ImageSource:
    """Return the grid to write on: the fixed image's where it is given, else the field's."""
    import numpy as np

    from monai_hyperscale.errors import RegistrationError
    from monai_hyperscale.io.fields import grid_affine
    from monai_hyperscale.io.grids import Grid, grid_of
    from monai_hyperscale.io.images import ImageSource, image_source, read_source

    own = grid_of(field)
    if args.fixed is None:
        picture = image_source(image).is_picture
        return ImageSource(args.image if picture else args.field, own.sizes, np.eye(4) if picture else own.affine)
    source = read_source(args.fixed)
    sizes = source.shape[:-1] if len(source.shape) == own.dims + 1 and source.shape[-1] == 1 else source.shape
    fixed = Grid(sizes, grid_affine(source))
    if fixed.dims != own.dims or not fixed.same_as(own):
        raise RegistrationError(
            f"the field {args.field} is on another grid ({own}) than {args.fixed} ({fixed}); name the fixed image it "
            "was made for, or leave --fixed out."
        )
    return source

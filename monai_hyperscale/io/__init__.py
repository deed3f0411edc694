"""Images, label maps and weights on disk: the only place that trusts nothing."""

from monai_hyperscale.io.fields import FIELD_SUFFIXES, grid_affine, read_field, to_voxels, to_world, write_field
from monai_hyperscale.io.files import load_weights, replacing, save_atomically, write_text
from monai_hyperscale.io.images import (
    IMAGE_SUFFIXES,
    ImageFiles,
    ImageSource,
    check_same_grid,
    group_channels,
    image_source,
    read_image,
    read_source,
    split_suffix,
)
from monai_hyperscale.io.labels import read_label, read_label_image, write_image, write_label
from monai_hyperscale.io.nifti import Placement

__all__ = [
    "FIELD_SUFFIXES",
    "IMAGE_SUFFIXES",
    "ImageFiles",
    "ImageSource",
    "Placement",
    "check_same_grid",
    "grid_affine",
    "group_channels",
    "image_source",
    "load_weights",
    "read_field",
    "read_image",
    "read_label",
    "read_label_image",
    "read_source",
    "replacing",
    "save_atomically",
    "split_suffix",
    "to_voxels",
    "to_world",
    "write_field",
    "write_image",
    "write_label",
    "write_text",
]

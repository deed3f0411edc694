"""Images, label maps and weights on disk: the only place that trusts nothing."""

from monai_hyperscale.io.atomic import replacing, write_text
from monai_hyperscale.io.channels import ImageFiles, group_channels
from monai_hyperscale.io.fields import FIELD_SUFFIXES, grid_affine, read_field, to_voxels, to_world, write_field
from monai_hyperscale.io.images import (
    IMAGE_SUFFIXES,
    ImageSource,
    check_same_grid,
    image_source,
    read_image,
    read_source,
    split_suffix,
)
from monai_hyperscale.io.labels import read_label, read_label_image, write_image, write_label
from monai_hyperscale.io.placement import Placement
from monai_hyperscale.io.weights import load_weights, save_atomically

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

"""Images, label maps and weights on disk: the only place that trusts nothing."""

from monai_hyperscale.io.atomic import replacing, write_text
from monai_hyperscale.io.channels import ImageFiles, group_channels
from monai_hyperscale.io.images import (
    IMAGE_SUFFIXES,
    ImageSource,
    check_same_grid,
    image_source,
    read_image,
    read_source,
    split_suffix,
)
from monai_hyperscale.io.labels import read_label, write_label
from monai_hyperscale.io.weights import load_weights, save_atomically

__all__ = [
    "IMAGE_SUFFIXES",
    "ImageFiles",
    "ImageSource",
    "check_same_grid",
    "group_channels",
    "image_source",
    "load_weights",
    "read_image",
    "read_label",
    "read_source",
    "replacing",
    "save_atomically",
    "split_suffix",
    "write_label",
    "write_text",
]

"""Data lists, pairs, the check of a data set, transforms, augmentation, and synthetic anatomy to start with."""

from monai_hyperscale.data.augmentation import augmentation
from monai_hyperscale.data.check import check_dataset, check_dimensions
from monai_hyperscale.data.cropping import RandForegroundCropd, slice_sampling
from monai_hyperscale.data.datalist import SegmentationDataset, read_dataset, split_cases
from monai_hyperscale.data.intensity import NormalizeChannels, NormalizeChannelsd, intensity_transform
from monai_hyperscale.data.labels import ClassIndex, ClassIndexd
from monai_hyperscale.data.synthetic import synthetic_case, write_synthetic_dataset
from monai_hyperscale.data.transforms import ImageFileReader, inversion, segmentation_preprocessing

__all__ = [
    "ClassIndex",
    "ClassIndexd",
    "ImageFileReader",
    "NormalizeChannels",
    "NormalizeChannelsd",
    "RandForegroundCropd",
    "SegmentationDataset",
    "augmentation",
    "check_dataset",
    "check_dimensions",
    "intensity_transform",
    "inversion",
    "read_dataset",
    "segmentation_preprocessing",
    "slice_sampling",
    "split_cases",
    "synthetic_case",
    "write_synthetic_dataset",
]

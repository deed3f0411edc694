"""Data lists, the check of a data set, transforms, augmentation, and synthetic anatomy to start with."""

from monai_hyperscale.data.augmentation import RandForegroundCropd, augmentation, slice_sampling
from monai_hyperscale.data.check import check_dataset
from monai_hyperscale.data.datalist import SegmentationDataset, read_dataset, split_cases
from monai_hyperscale.data.intensity import NormalizeChannels, NormalizeChannelsd
from monai_hyperscale.data.labels import ClassIndexd
from monai_hyperscale.data.reading import CachedCases, ReadImaged
from monai_hyperscale.data.synthetic import synthetic_case, write_synthetic_dataset
from monai_hyperscale.data.transforms import inversion, segmentation_preprocessing

__all__ = [
    "CachedCases",
    "ClassIndexd",
    "NormalizeChannels",
    "NormalizeChannelsd",
    "RandForegroundCropd",
    "ReadImaged",
    "SegmentationDataset",
    "augmentation",
    "check_dataset",
    "inversion",
    "read_dataset",
    "segmentation_preprocessing",
    "slice_sampling",
    "split_cases",
    "synthetic_case",
    "write_synthetic_dataset",
]

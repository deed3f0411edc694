"""Data lists, pairs, the check of a data set, transforms, augmentation, and synthetic anatomy to start with."""

from monai_hyperscale.data.augmentation import augmentation
from monai_hyperscale.data.check import check_dataset, check_pairs
from monai_hyperscale.data.cropping import RandForegroundCropd, slice_sampling
from monai_hyperscale.data.datalist import SegmentationDataset, read_dataset, split_cases
from monai_hyperscale.data.intensity import NormalizeChannels, NormalizeChannelsd, intensity_transform
from monai_hyperscale.data.labels import ClassIndex, ClassIndexd
from monai_hyperscale.data.pair_dataset import PairDataset
from monai_hyperscale.data.pair_files import read_pairs
from monai_hyperscale.data.pair_transforms import (
    PairSlice,
    UnitIntensity,
    UnitIntensityd,
    common_size,
    pair_augmentation,
    registration_preprocessing,
)
from monai_hyperscale.data.pairs import Pair, PairList, RegistrationImages, split_pairs
from monai_hyperscale.data.pipelines import evaluation_preprocessing, inference_postprocessing, training_transforms
from monai_hyperscale.data.synthetic import synthetic_case, write_synthetic_dataset
from monai_hyperscale.data.synthetic_pairs import synthetic_pair, write_synthetic_pairs
from monai_hyperscale.data.transforms import ImageFileReader, inversion, segmentation_preprocessing
from monai_hyperscale.data.unseen import unseen_names

__all__ = [
    "ClassIndex",
    "ClassIndexd",
    "ImageFileReader",
    "NormalizeChannels",
    "NormalizeChannelsd",
    "Pair",
    "PairDataset",
    "PairList",
    "PairSlice",
    "RandForegroundCropd",
    "RegistrationImages",
    "SegmentationDataset",
    "UnitIntensity",
    "UnitIntensityd",
    "augmentation",
    "check_dataset",
    "check_pairs",
    "common_size",
    "evaluation_preprocessing",
    "inference_postprocessing",
    "intensity_transform",
    "inversion",
    "pair_augmentation",
    "read_dataset",
    "read_pairs",
    "registration_preprocessing",
    "segmentation_preprocessing",
    "slice_sampling",
    "split_cases",
    "split_pairs",
    "synthetic_case",
    "synthetic_pair",
    "training_transforms",
    "unseen_names",
    "write_synthetic_dataset",
    "write_synthetic_pairs",
]

"""The MONAI bundle of a folded registration network: all images of a folder to one fixed image, in MONAI's terms."""

from __future__ import annotations

from typing import Any

from monai_hyperscale.export.stock_bundle import (
    BUNDLE_ROOT,
    FILL,
    NETWORK,
    WRITTEN_META,
    evaluator,
    files_of,
    lambda_step,
    per_channel,
)
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

__all__ = ["registration_config", "why_not"]

Config = dict[str, Any]
_BOTH = ["moving", "fixed"]


def why_not(settings: RegistrationSettings) -> str | None:
    """Return why there can be no such bundle, or ``None`` if there can.

    Example:
        >>> why_not(RegistrationSettings(2, ("grey",)))
        'MONAI has no transforms that lay 2D image files on one grid'
    """
    if settings.spatial_dims != 3:
        return "MONAI has no transforms that lay 2D image files on one grid"
    if settings.spacing is not None:
        return "MONAI has no transform that gives the fixed image's grid another voxel size as in training"
    return None


def registration_config(settings: RegistrationSettings) -> Config:
    """Return ``inference.json`` of a folded registration network.

    Args:
        settings: of the network, for volumes at their own voxel size.

    Example:
        >>> config = registration_config(RegistrationSettings(3, ("MRI",)))
        >>> config["warp"]["_target_"], "monai_hyperscale" in str(config)
        ('monai.networks.blocks.Warp', False)
    """
    return {
        "imports": ["$import glob", "$import os", "$import sys", "$import torch", "$import monai"],
        "bundle_root": BUNDLE_ROOT,
        "dataset_dir": "$os.path.join(@bundle_root, 'images')",
        "fixed": None,
        "output_dir": "$os.path.join(@bundle_root, 'predictions')",
        "device": "$'cuda:0' if torch.cuda.is_available() else 'cpu'",
        "files": "$" + files_of("@dataset_dir", (".nii", ".nii.gz")),
        "data": "$[{'moving': path, 'fixed': @fixed} for path in @files "
        "if os.path.abspath(path) != os.path.abspath(str(@fixed))]",
        "network_def": NETWORK,
        "preprocessing": {"_target_": "Compose", "transforms": _preprocessing(settings)},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        "inferer": {"_target_": "SimpleInferer"},
        "warp": {"_target_": "monai.networks.blocks.Warp", "mode": "bilinear", "padding_mode": "border"},
        "postprocessing": {"_target_": "Compose", "transforms": _postprocessing()},
        "handlers": [],
        "evaluator": evaluator(),
        "initialize": ["$monai.utils.set_determinism(0)"],
        "run": [
            "$None if @fixed else sys.exit('name the fixed image with --fixed FILE')",
            "$None if @data else sys.exit('no images in ' + str(@dataset_dir) + '; name their folder with "
            "--dataset_dir')",
            "$@evaluator.run()",
            "$print(str(len(@data)) + ' moved images and their fields are in ' + str(@output_dir))",
        ],
    }


def _preprocessing(settings: RegistrationSettings) -> list[Config]:
    reading = {"_target_": "LoadImaged", "keys": _BOTH, "reader": "NibabelReader", "ensure_channel_first": True}
    scaling = {"_target_": "ClipIntensityPercentilesd", "keys": _BOTH, "lower": 0.5, "upper": 99.5}
    steps: list[Config] = [
        reading,
        # What is moved in the end: the intensities of the file.
        {"_target_": "CopyItemsd", "keys": "moving", "names": "raw"},
        {"_target_": "Orientationd", "keys": "fixed", "axcodes": "RAS", "labels": None},
        lambda_step(_BOTH, per_channel(FILL)),
        lambda_step(_BOTH, per_channel("x - x.min()")),
        {**scaling, "channel_wise": True},
        {"_target_": "ScaleIntensityd", "keys": _BOTH, "minv": 0.0, "maxv": 1.0, "channel_wise": True},
    ]
    if settings.sizes is not None:
        steps.append({"_target_": "SpatialPadd", "keys": "fixed", "spatial_size": list(settings.sizes)})
    matching = {"_target_": "ResampleToMatchd", "key_dst": "fixed", "mode": "bilinear"}
    steps += [
        {**matching, "keys": "moving", "padding_mode": "zeros"},
        {**matching, "keys": "raw", "padding_mode": "border"},
        {"_target_": "EnsureTyped", "keys": [*_BOTH, "raw"], "dtype": "$torch.float32"},
        {"_target_": "ConcatItemsd", "keys": _BOTH, "name": "image", "dim": 0},
    ]
    return steps


def _postprocessing() -> list[Any]:
    moved = "@warp(data['raw'].as_tensor()[None], data['pred'][None])[0]"
    # In millimetres, so that its components mean the same on the grid of the file.
    field = "torch.einsum('ij,j...->i...', data['fixed'].affine[:3, :3].to(data['pred']), data['pred'])"
    # Files are named after the moving image.
    meta = WRITTEN_META.format(key="fixed")
    naming = (
        "monai.data.MetaTensor(monai.utils.convert_to_tensor(data[key], track_meta=False), "
        f"meta={{**{meta}, 'filename_or_obj': data['moving'].meta['filename_or_obj']}})"
    )
    saving = {
        "_target_": "SaveImaged",
        "output_dir": "@output_dir",
        "output_ext": ".nii.gz",
        "output_dtype": "$'float32'",
        "resample": False,
        "separate_folder": False,
        "print_log": False,
    }
    return [
        {"_target_": "EnsureTyped", "keys": "pred", "device": "cpu", "track_meta": False},
        # Invertd leaves alone what has no metadata.
        f"$lambda data: {{**data, 'moved': monai.data.MetaTensor({moved}), 'field': monai.data.MetaTensor({field})}}",
        {
            "_target_": "Invertd",
            "keys": ["moved", "field"],
            "transform": "@preprocessing",
            "orig_keys": "fixed",
            "nearest_interp": False,
        },
        f"$lambda data: {{**data, **{{key: {naming} for key in ('moved', 'field')}}}}",
        {**saving, "keys": "moved", "output_postfix": "moved"},
        {**saving, "keys": "field", "output_postfix": "field"},
    ]

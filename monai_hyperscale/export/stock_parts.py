"""Parts of a MONAI bundle of a folded network in MONAI's own terms, and volumes that it is compared on.

The configurations name nothing of this package: the network is loaded from ``models/model.ts``, and steps of the
preprocessing that MONAI has no transform for are ``Lambdad`` with an expression in the configuration itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.io import image_source

Config = dict[str, Any]

#: Fewest voxels per axis of synthetic anatomy.
LEAST_SIZE = 8
_MOST_LABELS = 20

# ``monai.bundle run`` puts the bundle's folder second on Python's path; elsewhere it is the current one.
_BUNDLE_ROOT = (
    "$next((folder for folder in sys.path[1:2] if os.path.isfile(os.path.join(folder, 'models', 'model.ts'))), '.')"
)
_NETWORK = "$torch.jit.load(os.path.join(@bundle_root, 'models', 'model.ts'), map_location=@device)"
#: Fill values become the lowest other one, as in :mod:`monai_hyperscale.data.intensity`.
FILL = "torch.where(x.abs() < 1e18, x, x[x.abs() < 1e18].min())"
_OVER_CHANNELS = "torch.cat([({each})(x) for x in x.split(1)])"


def step(name: str, keys: Any, /, **options: Any) -> Config:
    """Return one of MONAI's transforms."""
    return {"_target_": name, "keys": keys, **options}


def lambda_step(keys: Any, expression: str) -> Config:
    """Return a transform that puts ``x``, an image (C, *sizes), through an expression."""
    return step("Lambdad", keys, func=f"$lambda x: {expression}")


def per_channel(expression: str) -> str:
    """Return an expression that treats every channel ``x`` (1, *sizes) of an image ``x`` by itself."""
    return _OVER_CHANNELS.format(each=f"lambda x: {expression}")


def files_of(folder: str, suffixes: Sequence[str]) -> str:
    """Return an expression for the sorted files of a folder that end so."""
    return f"sorted(path for end in {list(suffixes)} for path in glob.glob(os.path.join({folder}, '[!.]*' + end)))"


#: Metadata of what is written: the image's, on the file's own grid. ``original_channel_dim`` keeps MONAI's writer from
#: taking a volume for images of two axes.
WRITTEN_META = (
    "{{**data['{key}'].meta, 'affine': torch.as_tensor(data['{key}'].meta['original_affine']), "
    "'original_channel_dim': 'no_channel'}}"
)


def stock_config(
    data: Config, preprocessing: list[Any], inference: Config, postprocessing: list[Any], done: str, first: str = ""
) -> Config:
    """Return ``inference.json``: images of a folder, as ``data`` says, through the network, and files of the results.

    ``inference`` has the ``inferer`` and what the transforms afterwards name, ``done`` is said of the images' number.
    """
    return {
        "imports": [f"$import {name}" for name in ("glob", "os", "sys", "numpy", "torch", "monai")],
        "bundle_root": _BUNDLE_ROOT,
        "dataset_dir": "$os.path.join(@bundle_root, 'images')",
        "output_dir": "$os.path.join(@bundle_root, 'predictions')",
        "device": "$'cuda:0' if torch.cuda.is_available() else 'cpu'",
        "image_dir": "@dataset_dir",
        **data,
        "network_def": _NETWORK,
        "preprocessing": {"_target_": "Compose", "transforms": preprocessing},
        "dataset": {"_target_": "Dataset", "data": "@data", "transform": "@preprocessing"},
        "dataloader": {"_target_": "DataLoader", "dataset": "@dataset", "batch_size": 1, "num_workers": 0},
        **inference,
        "postprocessing": {"_target_": "Compose", "transforms": postprocessing},
        "handlers": [],
        "evaluator": {
            "_target_": "SupervisedEvaluator",
            "device": "@device",
            "val_data_loader": "@dataloader",
            "network": "@network_def",
            "inferer": "@inferer",
            "postprocessing": "@postprocessing",
            "val_handlers": "@handlers",
        },
        "initialize": ["$monai.utils.set_determinism(0)"],
        "run": [
            *([first] if first else []),
            "$None if @data else sys.exit('no images in ' + str(@image_dir) + '; name their folder with "
            "--dataset_dir')",
            "$@evaluator.run()",
            f"$print(str(len(@data)) + ' {done} in ' + str(@output_dir))",
        ],
    }


def saving(keys: str, dtype: str, suffix: str = ".nii.gz", postfix: str = "") -> Config:
    """Return the transform that writes files beside each other, on the grid that they have."""
    return {
        "_target_": "SaveImaged",
        "keys": keys,
        "output_dir": "@output_dir",
        "output_postfix": postfix,
        "output_ext": suffix,
        "output_dtype": f"$'{dtype}'",
        "resample": False,
        "separate_folder": False,
        "print_log": False,
    }


def write_volume(path: Path, settings: Any, image: Optional[MetaTensor], size: Sequence[int], number: int = 0) -> Path:
    """Write an image, or synthetic anatomy of a size in voxels of the network, as a file that MONAI reads."""
    if image is not None:
        voxels, affine = image.as_tensor().numpy(), image_source(image).affine
    else:
        wanted = [max(LEAST_SIZE, n) for n in ([*size, 12] if settings.slices else size)]
        labels = min(_MOST_LABELS, max(1, len(settings.labels)))
        channels = range(len(settings.channels))
        voxels = 1000 * np.stack([synthetic_case([number, channel], 3, wanted, labels)[0] for channel in channels])
        # Left and right, front and back are swapped in the file.
        affine = np.diag([-1.0, -1.0, 1.0, 1.0])
    data = voxels[0] if len(voxels) == 1 else np.moveaxis(voxels, 0, -1)
    nib.save(nib.Nifti1Image(data.astype(np.float32), affine), path)
    return path

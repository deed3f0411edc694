"""Parts of a MONAI bundle of a folded network in MONAI's own terms: its configurations name nothing of this package.

What the bundle's network is loaded from is ``models/model.ts``. Steps of the preprocessing that MONAI has no transform
for are ``Lambdad`` with an expression in the configuration itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

__all__ = [
    "BUNDLE_ROOT",
    "FILL",
    "NETWORK",
    "WRITTEN_META",
    "evaluator",
    "files_of",
    "lambda_step",
    "per_channel",
]

Config = dict[str, Any]

#: ``monai.bundle run`` puts the bundle's folder second on Python's path; elsewhere it is the current one.
BUNDLE_ROOT = (
    "$next((folder for folder in sys.path[1:2] if os.path.isfile(os.path.join(folder, 'models', 'model.ts'))), '.')"
)
NETWORK = "$torch.jit.load(os.path.join(@bundle_root, 'models', 'model.ts'), map_location=@device)"
#: Fill values become the lowest other one, as in :mod:`monai_hyperscale.data.intensity`.
FILL = "torch.where(x.abs() < 1e18, x, x[x.abs() < 1e18].min())"
_OVER_CHANNELS = "torch.cat([({each})(x) for x in x.split(1)])"


def lambda_step(keys: Any, expression: str) -> Config:
    """Return a transform that puts ``x``, an image (C, *sizes), through an expression."""
    return {"_target_": "Lambdad", "keys": keys, "func": f"$lambda x: {expression}"}


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


def evaluator() -> Config:
    """Return the workflow's engine."""
    return {
        "_target_": "SupervisedEvaluator",
        "device": "@device",
        "val_data_loader": "@dataloader",
        "network": "@network_def",
        "inferer": "@inferer",
        "postprocessing": "@postprocessing",
        "val_handlers": "@handlers",
    }

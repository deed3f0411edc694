"""Volumes that a bundle in MONAI's own terms is compared on, as files."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Optional

import nibabel as nib
import numpy as np
from monai.data import MetaTensor

from monai_hyperscale.data.synthetic import synthetic_case
from monai_hyperscale.io import image_source

__all__ = ["LEAST_SIZE", "write_volume"]

#: Fewest voxels per axis of synthetic anatomy.
LEAST_SIZE = 8
_MOST_LABELS = 20


def write_volume(path: Path, settings: Any, image: Optional[MetaTensor], size: Sequence[int], number: int = 0) -> Path:
    """Write an image as a file that MONAI reads, its channels as the fourth axis.

    Args:
        path: of the file.
        settings: of the network; synthetic anatomy has as many channels and labels.
        image: to write, as :func:`monai_hyperscale.io.read_image` gives it; ``None`` for synthetic anatomy.
        size: of synthetic anatomy, in voxels of the network.
        number: of the synthetic anatomy; another number is another anatomy.

    Returns:
        the path.
    """
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

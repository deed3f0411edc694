"""Synthetic pairs to register: every displacement is known, so that registration can be measured without labels."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter, map_coordinates

from monai_hyperscale.data.synthetic import smooth_field, synthetic_case, write_array, write_once

# Raise when the recipe changes: pairs written by another version are then written anew.
_VERSION = 2
_NOISE = 0.01
# Least Jacobian determinant of a displacement: nothing is folded, nor squeezed to less than a fifth.
_SQUEEZED = 0.2
# Standard deviation of the texture, for each standard deviation (in voxels) of the blur that makes it.
_TEXTURE = {1.5: 0.15, 3.0: 0.15}


def synthetic_pair(
    seed: int | Sequence[int],
    spatial_dims: int = 3,
    size: int = 40,
    labels: int = 3,
    displacement: float = 0.15,
    in_plane: bool = False,
) -> dict[str, np.ndarray]:
    """Make a moving and a fixed image, their label maps, and the displacement field between them.

    The moving image is :func:`synthetic_case` with texture all over, so that there is something to follow everywhere.
    The fixed image is the moving one warped by a random smooth field u, ``fixed(x) = moving(x + u(x))``, by cubic
    interpolation; both get noise of their own. The field fades to 0 at the border and does not fold.

    ``size`` is the voxels of the first axis; the second is an eighth longer and the third an eighth shorter. There are
    1 to 20 ``labels``. The largest ``displacement`` is in units of ``size``; a pair has 60 to 100 % of it, with
    ``in_plane`` none along the last axis, so that the slices of 3D pairs are 2D pairs.

    Returns:
        ``moving`` and ``fixed``, float32 (*sizes), in [0, 1]; ``moving_label`` and ``fixed_label``, uint8 (*sizes);
        ``field``, float32 (D, *sizes), in voxels.

    Example:
        >>> synthetic_pair(seed=1, spatial_dims=2, size=32)["field"].shape
        (2, 32, 36)
    """
    if not 0 <= displacement <= 0.25:
        raise ValueError(f"displacement must be 0 to 0.25 of the size, got {displacement!r}.")
    rng = np.random.default_rng(seed)
    sizes = (size, size + size // 8, size - size // 8)[:spatial_dims]
    image, moving_label = synthetic_case(rng.integers(2**31, size=4).tolist(), spatial_dims, sizes, labels)
    moving = 0.2 + 0.5 * gaussian_filter(image, 0.7).astype(np.float64)  # its noise is no anatomy
    for blur, spread in _TEXTURE.items():
        texture = gaussian_filter(rng.normal(size=sizes), blur, mode="wrap")
        moving += spread / texture.std() * texture
    field = _displacement(rng, sizes, displacement * size * rng.uniform(0.6, 1.0), in_plane)
    where = np.stack(np.meshgrid(*map(np.arange, sizes), indexing="ij")) + field
    fixed = map_coordinates(moving, where, order=3, mode="nearest")
    fixed_label = map_coordinates(moving_label, where, order=0, mode="nearest")
    noisy = [(a + rng.normal(0, _NOISE, sizes)).clip(0, 1).astype(np.float32) for a in (moving, fixed)]
    return {
        "moving": noisy[0],
        "fixed": noisy[1],
        "moving_label": moving_label,
        "fixed_label": fixed_label,
        "field": field.astype(np.float32),
    }


def _displacement(rng: np.random.Generator, sizes: Sequence[int], largest: float, in_plane: bool) -> np.ndarray:
    """Return a smooth field (D, *sizes), 0 at the border, whose longest displacement is ``largest`` or less."""
    dims = len(sizes)
    field = np.stack([smooth_field(rng, sizes, 1.0, order=3) for _ in range(dims)])
    for axis, n in enumerate(sizes):
        fading = 1 - np.abs(2 * np.arange(n) / (n - 1) - 1) ** 4
        field *= fading.reshape([-1 if a == axis else 1 for a in range(dims)])
    if in_plane:
        field[-1] = 0
    field *= largest / np.linalg.norm(field, axis=0).max()
    gradient = np.moveaxis(np.stack([np.stack(np.gradient(part)) for part in field]), (0, 1), (-2, -1))
    scale = 1.0
    while np.linalg.det(np.eye(dims) + scale * gradient).min() < _SQUEEZED:
        scale *= 0.85
    return scale * field


def write_synthetic_pairs(
    folder: str | os.PathLike,
    spatial_dims: int = 3,
    pairs: int = 48,
    size: int = 40,
    labels: int = 3,
    displacement: float = 0.15,
    in_plane: bool = False,
    seed: int = 0,
) -> Path:
    """Write pairs of :func:`synthetic_pair` and a list that :func:`read_pairs` reads.

    Volumes are NIfTI (int16, 1 mm, RAS), 2D images PNG (8 bit), fields NIfTI in ITK's convention. ``pairs.json`` says
    that all of it is synthetic, and how it was made. Files appear all at once, or not at all. A folder that holds these
    pairs already is left as it is, one of synthetic pairs of other settings replaced; one that holds anything else is a
    :class:`DatasetError`.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     sorted(path.name for path in write_synthetic_pairs(folder, 2, pairs=1, size=16).iterdir())
        ['fields', 'images', 'labels', 'pairs.json']
    """
    settings: dict[str, Any] = {"version": _VERSION}
    settings |= {"spatial_dims": spatial_dims, "pairs": pairs, "size": size, "labels": labels}
    settings |= {"displacement": displacement, "in_plane": in_plane, "seed": seed}
    return write_once(Path(folder), "pairs.json", settings, _write_pairs)


def _write_pairs(folder: Path, settings: dict[str, Any]) -> dict[str, Any]:
    # Here, because writers of fields are not needed by those who only read data sets.
    from monai_hyperscale.io.fields import write_field

    (folder / "fields").mkdir(parents=True)
    dims, suffix = settings["spatial_dims"], ".nii.gz" if settings["spatial_dims"] == 3 else ".png"
    options = {key: settings[key] for key in ("size", "labels", "displacement", "in_plane")}
    listed = []
    for index in range(settings["pairs"]):
        made = synthetic_pair([settings["seed"], index], dims, **options)
        entry = {key: f"images/pair_{index:03d}_{key}{suffix}" for key in ("moving", "fixed")}
        entry |= {f"{key}_label": f"labels/pair_{index:03d}_{key}{suffix}" for key in ("moving", "fixed")}
        affines = [write_array(made[key], folder / path) for key, path in entry.items()]
        entry["field"] = f"fields/pair_{index:03d}.nii.gz"
        write_field(torch.from_numpy(made["field"]), folder / entry["field"], affines[0])
        listed.append(entry)
    return {"name": "Synthetic pairs", "pairs": listed}

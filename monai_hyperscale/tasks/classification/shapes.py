"""Built-in data: images of a shape, whose class is the shape. Place, size, turn and contrast tell nothing of it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.ndimage import gaussian_filter

__all__ = ["SHAPES", "shape_image", "write_shapes"]

#: The classes, by name.
SHAPES = ("bar", "disc", "ring")
_NOISE = 0.08
_BLUR = 0.7


def shape_image(seed: int | Sequence[int], shape: str, size: int = 32) -> np.ndarray:
    """Make an image of one of :data:`SHAPES`, float32 (size, size) from 0 to 1."""
    if shape not in SHAPES:
        raise ValueError(f"a shape is one of {', '.join(SHAPES)}, got {shape!r}.")
    rng = np.random.default_rng(seed)
    rows, columns = np.mgrid[:size, :size] - rng.uniform(0.35, 0.65, 2)[:, None, None] * size
    radius, turn = rng.uniform(0.2, 0.3) * size, rng.uniform(0, np.pi)
    distance = np.hypot(rows, columns)
    if shape == "bar":
        along = rows * np.cos(turn) + columns * np.sin(turn)
        across = columns * np.cos(turn) - rows * np.sin(turn)
        inside = (np.abs(along) < 1.3 * radius) & (np.abs(across) < 0.35 * radius)
    else:
        inside = (distance < radius) & (distance > (0.6 * radius if shape == "ring" else -1))
    background, contrast = rng.uniform(0.2, 0.4), rng.uniform(0.3, 0.5)
    image = gaussian_filter(background + contrast * inside, _BLUR) + rng.normal(0, _NOISE, (size, size))
    return image.clip(0, 1).astype(np.float32)


def write_shapes(folder: str | Path, cases: int = 60, size: int = 32, seed: int = 0) -> Path:
    """Write images of all shapes, a folder for each, as many of each shape as of the others."""
    root = Path(folder)
    for number in range(cases):
        place = number % len(SHAPES)
        path = root / SHAPES[place] / f"image_{number:03d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = 255 * shape_image([seed, number], SHAPES[place], size)
        Image.fromarray(pixels.round().astype(np.uint8)).save(path)
    return root

"""2D image files such as PNG through Pillow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from monai_hyperscale.errors import ImageError, first_line

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")

#: Pillow's modes of one value per pixel; all others are colour or a palette, some with an alpha channel.
GREY_MODES = frozenset({"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"})


def load_picture(path: Path, channels: int, labels: bool = False) -> tuple[np.ndarray, str]:
    """Read a 2D image file as float32 (C, width, height), MONAI's order for such files, with Pillow's mode of it.

    Grey becomes red = green = blue for three channels, alpha is left out; ``labels``: see :func:`single_channel`.
    """
    if labels and path.suffix.lower() in (".jpg", ".jpeg"):
        raise ImageError(f"{path} is a JPEG, whose compression changes label values; store labels as PNG.")
    with _opened(path) as image:
        if getattr(image, "n_frames", 1) != 1:
            raise ImageError(f"{path} has {image.n_frames} pages; one is needed, so split it first.")
        image.load()
        if labels:
            image = single_channel(image, str(path))
        elif channels == 3:
            image = image.convert("RGB")
        elif image.mode in ("1", "LA", "La"):
            image = image.convert("L")
        elif image.mode not in GREY_MODES:
            raise ImageError(f"{path} is in colour ({image.mode}), but one grey channel is needed; convert it first.")
        pixels, mode = np.asarray(image), image.mode
    pixels = pixels.astype(pixels.dtype if labels else np.float32).reshape(*pixels.shape[:2], -1)
    return np.ascontiguousarray(pixels.transpose(2, 1, 0)), mode


def single_channel(image: Image.Image, name: str) -> Image.Image:
    """Return an image of labels, grey or palette, as it is, a colour image with equal channels as one of them."""
    if image.mode in ("LA", "La", "PA"):
        return image.getchannel(0)
    if image.mode in GREY_MODES or image.mode == "P":
        return image
    first, *others = image.convert("RGB").split()
    if any(np.any(np.asarray(first) != np.asarray(other)) for other in others):
        raise ImageError(f"{name} holds colours; a label file needs one whole number per pixel, so convert it first.")
    return first


def picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a 2D image file, from its header."""
    with _opened(path) as image:
        return image.size


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with Image.open(path) as image:
            yield image
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders have no common class
        raise ImageError(f"{path} is damaged, or no image that can be read ({first_line(error)}).") from error


def save_picture(pixels: np.ndarray, path: Path) -> None:
    """Write pixels (width, height) or (C, width, height) of 8 or 16 bit as a PNG."""
    Image.fromarray(np.ascontiguousarray(pixels.T)).save(path, format="PNG")

"""2D image files such as PNG through Pillow."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from monai_hyperscale.errors import ImageError, first_line

__all__ = ["PICTURE_SUFFIXES", "load_picture", "picture_size", "save_picture"]

PICTURE_SUFFIXES = (".png", ".tif", ".tiff", ".bmp", ".jpg", ".jpeg")

# Modes of one value per pixel; the others are colour, a palette, or have an alpha channel.
_GREY = ("L", "I", "F", "I;16", "I;16B", "I;16L", "I;16N")


def load_picture(path: Path, channels: int) -> tuple[np.ndarray, str]:
    """Read a 2D image file; grey becomes red = green = blue where three channels are asked for, alpha is left out.

    Returns:
        float32 pixels (C, width, height), MONAI's order for such files, and Pillow's mode of them.

    Raises:
        ImageError: if it cannot be read, has several pages, or is in colour where one channel is asked for.
    """
    try:
        with Image.open(path) as image:
            if getattr(image, "n_frames", 1) != 1:
                raise ImageError(f"{path} has {image.n_frames} pages; one is needed, so split it first.")
            image.load()
            if channels == 3:
                image = image.convert("RGB")
            elif image.mode in ("1", "LA", "La"):
                image = image.convert("L")
            elif image.mode not in _GREY:
                raise ImageError(
                    f"{path} is in colour ({image.mode}), but one grey channel is needed; convert it first."
                )
            pixels = np.asarray(image)
            mode = image.mode
    except (ImageError, MemoryError):
        raise
    except Exception as error:  # Pillow's decoders have no common class either
        raise _damaged(path, error) from error
    pixels = pixels.astype(np.float32).reshape(*pixels.shape[:2], -1)
    return np.ascontiguousarray(pixels.transpose(2, 1, 0)), mode


def picture_size(path: Path) -> tuple[int, int]:
    """Return (width, height) of a 2D image file, from its header.

    Raises:
        ImageError: if it cannot be read.
    """
    try:
        with Image.open(path) as image:
            return image.size
    except Exception as error:
        raise _damaged(path, error) from error


def _damaged(path: Path, error: Exception) -> ImageError:
    return ImageError(f"{path} is damaged, or no image that can be read ({first_line(error)}).")


def save_picture(label: np.ndarray, path: Path) -> None:
    """Write label values (width, height) as a grey PNG of 8 or 16 bit.

    Raises:
        ImageError: if a value takes more than 16 bit.
    """
    if label.dtype not in (np.uint8, np.uint16):
        raise ImageError(f"a PNG holds labels up to 65535, got {label.max()}.")
    Image.fromarray(np.ascontiguousarray(label.T)).save(path, format="PNG")

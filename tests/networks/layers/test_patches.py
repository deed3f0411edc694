"""Patches as channels, against MONAI's pixel shuffle."""

from __future__ import annotations

import pytest
import torch
from monai.networks.utils import pixelshuffle, pixelunshuffle

from monai_hyperscale.networks.layers import from_patches, to_patches

EVEN = (4, 6, 8)


@pytest.mark.parametrize("patch_size", [1, 2])
@pytest.mark.parametrize("spatial_dims", [1, 2, 3])
def test_the_same_as_pixel_shuffle_where_sizes_divide(spatial_dims: int, patch_size: int) -> None:
    image = torch.rand(2, 3, *EVEN[:spatial_dims])
    patches = to_patches(image, patch_size)
    assert torch.equal(patches, pixelunshuffle(image, spatial_dims, patch_size))
    maps = torch.rand(2, 5 * patch_size**spatial_dims, *patches.shape[2:])
    assert torch.equal(from_patches(maps, patch_size, image), pixelshuffle(maps, spatial_dims, patch_size))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("patch_size", [2, 3, 4])
@pytest.mark.parametrize("sizes", [(1,), (7, 5), (1, 1, 1), (5, 7, 1), (13, 2, 3)])
def test_any_size_comes_back(sizes: tuple[int, ...], patch_size: int, dtype: torch.dtype) -> None:
    image = torch.rand(2, 2, *sizes).to(dtype)
    patches = to_patches(image, patch_size)
    assert patches.shape == (2, 2 * patch_size ** len(sizes), *(-(-n // patch_size) for n in sizes))
    assert patches.dtype == dtype
    assert torch.equal(from_patches(patches, patch_size, image), image)


def test_what_is_filled_up_repeats_the_border() -> None:
    image = torch.tensor([[[1.0, 2.0, 3.0, 4.0, 5.0]]])
    assert to_patches(image, 3).tolist() == [[[1.0, 4.0], [2.0, 5.0], [3.0, 5.0]]]

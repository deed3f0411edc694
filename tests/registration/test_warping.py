from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.ndimage import map_coordinates

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.registration import voxel_grid, warp, warp_points

HALF = (torch.bfloat16, torch.float16)
SIZES = [(1, 1), (1, 7), (2, 3), (31, 16), (33, 47), (129, 182), (1, 1, 1), (5, 1, 4), (7, 11, 13), (17, 16, 12)]


def smooth(sizes: tuple[int, ...], amplitude: float, seed: int = 0, batch: int = 1) -> torch.Tensor:
    """A field of about one wave over the grid, float64."""
    draw = np.random.default_rng(seed)
    x = np.meshgrid(*[np.linspace(0, 1, n) for n in sizes], indexing="ij")
    parts = []
    for _ in range(batch * len(sizes)):
        waves, phase = draw.uniform(-1, 1, len(sizes)), draw.uniform(0, 2 * np.pi)
        parts.append(amplitude * np.sin(2 * np.pi * sum(w * a for w, a in zip(waves, x, strict=True)) + phase))
    return torch.from_numpy(np.stack(parts).reshape(batch, len(sizes), *sizes))


def reference(image: torch.Tensor, field: torch.Tensor, order: int, mode: str) -> np.ndarray:
    at = (voxel_grid(field) + field).double().numpy()
    images = image.double().numpy()
    return np.array([[map_coordinates(c, at[b], order=order, mode=mode) for c in images[b]] for b in range(len(image))])


MODES = [(mode, padding) for mode in ("linear", "nearest") for padding in ("border", "zeros")]


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_zero_field_is_the_identity_bit_for_bit(sizes: tuple[int, ...]) -> None:
    bits = {torch.float32: torch.int32, torch.float64: torch.int64} | dict.fromkeys(HALF, torch.int16)
    for dtype, integer in bits.items():
        image = (1e3 * torch.randn(2, 2, *sizes)).to(dtype)
        for mode, padding in MODES:
            moved = warp(image, torch.zeros(2, len(sizes), *sizes, dtype=dtype), mode, padding)
            assert moved.dtype == dtype
            assert torch.equal(moved.view(integer), image.view(integer)), (dtype, mode, padding)


def test_every_whole_shift_is_exact() -> None:
    for size in (1, 2, 3, 48, 61, 100, 127, 160, 181, 192, 218, 240, 256, 257, 300, 511, 513):
        image, x = torch.randn(1, 1, 1, size), torch.arange(size)
        for shift in {1, -1, 2, 3, -size // 3, size // 2, size - 1, size, -size, 3 * size}:
            field = torch.zeros(1, 2, 1, size)
            field[:, 1] = shift
            expected = image[0, 0, 0, (x + shift).clamp(0, size - 1)]
            assert torch.equal(warp(image, field)[0, 0, 0], expected), (size, shift)


@pytest.mark.parametrize("sizes", SIZES, ids=str)
def test_whole_displacements_of_every_voxel_are_exact(sizes: tuple[int, ...]) -> None:
    image = torch.randn(1, 2, *sizes)
    field = torch.randint(-4, 5, (1, len(sizes), *sizes)).float()
    at = (voxel_grid(field) + field)[0].long()
    inside = torch.stack([(a >= 0) & (a < n) for a, n in zip(at, sizes, strict=True)]).all(0)
    clipped = tuple(a.clamp(0, n - 1) for a, n in zip(at, sizes, strict=True))
    expected = image[(slice(None), slice(None), *clipped)]
    for mode in ("linear", "nearest"):
        assert torch.equal(warp(image, field, mode), expected)
        assert torch.equal(warp(image, field, mode, padding="zeros"), expected * inside)


@pytest.mark.parametrize("sizes", [(13, 18), (1, 9), (7, 11, 6), (16, 5, 1)], ids=str)
def test_values_between_voxels_are_those_of_scipy(sizes: tuple[int, ...]) -> None:
    image = torch.randn(2, 3, *sizes)
    field = 3 * torch.randn(2, len(sizes), *sizes)
    for dtype, atol in [(torch.float64, 1e-12), (torch.float32, 1e-4)]:
        moved = warp(image.to(dtype), field.to(dtype))
        assert np.allclose(moved.numpy(), reference(image.to(dtype), field.to(dtype), 1, "nearest"), atol=atol)
        moved = warp(image.to(dtype), field.to(dtype), padding="zeros")
        assert np.allclose(moved.numpy(), reference(image.to(dtype), field.to(dtype), 1, "grid-constant"), atol=atol)
    assert np.array_equal(warp(image, field, "nearest").numpy(), reference(image, field, 0, "nearest"))


def test_far_out_of_the_image() -> None:
    image = torch.rand(1, 1, 6, 5) + 1
    for far in (1e6, -1e6, 1e30, -1e30):
        assert torch.equal(warp(image, torch.full((1, 2, 6, 5), far), padding="zeros"), torch.zeros_like(image))
    expected = image[..., -1:, -1:].expand_as(image)
    assert torch.equal(warp(image, torch.full((1, 2, 6, 5), 1e6)), expected)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint8, torch.int16, torch.int32, torch.int64])
def test_labels_keep_their_type_and_values(dtype: torch.dtype) -> None:
    greatest = 1 if dtype == torch.bool else torch.iinfo(dtype).max if dtype != torch.int64 else 2**50 + 1
    label = torch.tensor([0, 1, greatest // 2 + 1, greatest]).to(dtype).repeat(9).reshape(1, 1, 6, 6)
    field = torch.randint(-2, 3, (1, 2, 6, 6)).float()
    moved = warp(label, field, "nearest")
    at = (voxel_grid(field) + field)[0].long().clamp(0, 5)
    assert moved.dtype == dtype
    assert torch.equal(moved[0, 0], label[0, 0, at[0], at[1]])
    assert warp(label, field).is_floating_point()


@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("sizes", [(5, 4), (3, 2, 4)], ids=str)
def test_gradients(sizes: tuple[int, ...], padding: str) -> None:
    image = torch.randn(2, 1, *sizes, dtype=torch.float64, requires_grad=True)
    field = (1.5 * torch.randn(2, len(sizes), *sizes, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(lambda i, f: warp(i, f, padding=padding), (image, field))
    points = (3 * torch.rand(2, 3, len(sizes), dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(warp_points, (points, field))


@pytest.mark.parametrize("sizes", [(6, 7), (5, 8, 6)], ids=str)
def test_gradient_of_the_field_at_the_identity_ends_at_the_border(sizes: tuple[int, ...]) -> None:
    # What lies behind the last voxel is that voxel again, not the padding.
    field = torch.zeros(1, len(sizes), *sizes, requires_grad=True)
    warp(torch.rand(1, 1, *sizes) + 100, field).sum().backward()
    assert field.grad is not None and field.grad.abs().max() < 1.5
    for axis in range(len(sizes)):
        assert torch.equal(
            field.grad[:, axis].select(axis + 1, -1), torch.zeros_like(field.grad.select(axis + 2, -1)[:, 0])
        )


def test_batch_is_the_loop_and_one_serves_all() -> None:
    images, fields = torch.rand(3, 2, 6, 5), smooth((6, 5), 2, batch=3).float()
    loop = torch.cat([warp(images[b : b + 1], fields[b : b + 1]) for b in range(3)])
    assert torch.equal(warp(images, fields), loop)
    assert torch.equal(warp(images[:1], fields), warp(images[:1].repeat(3, 1, 1, 1), fields))
    assert torch.equal(warp(images, fields[:1]), warp(images, fields[:1].repeat(3, 1, 1, 1)))


def test_half_precision_keeps_coordinates() -> None:
    # bfloat16 holds no coordinate above 256 and no normalised one to better than half a voxel of 200.
    image, field = torch.rand(1, 1, 1, 200), torch.zeros(1, 2, 1, 200)
    field[:, 1] = 0.25
    expected = warp(image, field)
    assert torch.allclose(warp(image.bfloat16(), field.bfloat16()).float(), expected, atol=0.01)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(warp(image, field), expected)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_same_on_a_gpu_after_the_cpu() -> None:
    for sizes in [(47, 61), (17, 13, 11)]:
        image, field = torch.randn(2, 2, *sizes), smooth(sizes, 3, batch=2).float()
        expected = warp(image, field)
        assert torch.allclose(warp(image.cuda(), field.cuda()).cpu(), expected, atol=1e-4)
        assert torch.equal(warp(image.cuda(), torch.zeros_like(field).cuda()).cpu(), image)


@pytest.mark.parametrize("sizes", [(9, 8), (7, 6, 5)], ids=str)
def test_torchscript(sizes: tuple[int, ...]) -> None:
    image, field = torch.randn(2, 2, *sizes), torch.randn(2, len(sizes), *sizes)
    scripted = torch.jit.script(warp)
    for options in MODES:
        assert torch.equal(scripted(image, field, *options), warp(image, field, *options))


@pytest.mark.parametrize("sizes", [(12, 9), (8, 9, 7)], ids=str)
def test_points_move_as_the_field_says(sizes: tuple[int, ...]) -> None:
    dims = len(sizes)
    field = smooth(sizes, 2, batch=2)
    points = torch.rand(2, 5, dims, dtype=torch.float64) * (torch.tensor(sizes) + 2) - 1
    moved = warp_points(points, field)
    for b in range(2):
        for axis in range(dims):
            step = map_coordinates(field[b, axis].numpy(), points[b].T.numpy(), order=1, mode="nearest")
            assert np.allclose(moved[b, :, axis].numpy(), points[b, :, axis].numpy() + step)
    assert warp_points(points.float(), field.float()).dtype == torch.float32
    assert torch.equal(warp_points(points[:1, :0], field[:1]), points[:1, :0])


def test_points_and_images_move_together() -> None:
    # The landmark p of the fixed image is at p + field(p) in the moving one.
    sizes = (24, 20, 22)
    field = smooth(sizes, 1.0) + torch.tensor([3.0, -3.0, 2.0]).reshape(1, 3, 1, 1, 1)
    landmark = torch.tensor([[[11.0, 9.0, 12.0]]], dtype=torch.float64)
    there = warp_points(landmark, field)
    distance = (voxel_grid(field) - there.reshape(1, 3, 1, 1, 1)).square().sum(1, keepdim=True)
    moved = warp(torch.exp(-distance / 8), field)
    found = torch.tensor(np.array(np.unravel_index(int(moved.argmax()), sizes)))
    assert (there - landmark).norm() > 3
    assert (found - landmark).abs().max() <= 1


def test_what_does_not_fit() -> None:
    for sizes, of_field, message in (
        ((1, 1, 4, 5), (1, 2, 5, 4), "on one grid"),
        ((1, 1, 4, 5, 6), (1, 2, 4, 5), "on one grid"),
        ((1, 1, 4, 5), (1, 3, 4, 5), "displacement field is"),
        ((1, 1, 4), (1, 1, 4), "displacement field is"),
    ):
        with pytest.raises(RegistrationError, match=message):
            warp(torch.zeros(sizes), torch.zeros(of_field))
    image, field = torch.zeros(1, 1, 4, 5), torch.zeros(1, 2, 4, 5)
    with pytest.raises(RegistrationError, match="'linear' or 'nearest', got cubic"):
        warp(image, field, "cubic")
    with pytest.raises(RegistrationError, match="'border' or 'zeros', got wrap"):
        warp(image, field, padding="wrap")
    with pytest.raises(RegistrationError, match="floating-point"):
        warp(image, field.long())
    with pytest.raises(RegistrationError, match=r"shape \(B, N, 2\)"):
        warp_points(torch.zeros(1, 4, 3), field)
    with pytest.raises(RegistrationError, match="batch"):
        warp(image.repeat(2, 1, 1, 1), field.repeat(3, 1, 1, 1))

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn
from monai.data import MetaTensor
from scipy.ndimage import gaussian_filter, map_coordinates

from monai_hyperscale.bundle.settings import build_network
from monai_hyperscale.context import Context
from monai_hyperscale.errors import PhiError, RegistrationError
from monai_hyperscale.registration import integrate
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.tasks.registration.settings import RegistrationSettings

EYE = np.eye(4)
OBLIQUE = np.array([[-0.96, 0.56, 0, 10], [0.28, 1.92, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1.0]])
PSR = np.array([[0, 0, 1.0, 3], [-1.5, 0, 0, 20], [0, 1.2, 0, 5], [0, 0, 0, 1]])
LAS = np.diag([-1.0, 1, 2, 1])


class Known(nn.Module):
    """Stands in for a folded network: a displacement, or velocity, that does not depend on the images."""

    def __init__(self, field: Callable[..., torch.Tensor]) -> None:
        super().__init__()
        self.field = field
        self.seen: list[torch.Tensor] = []

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.seen.append(x)
        return self.field(list(x.shape[2:]))

    velocity = forward


def registrar(field: Callable[..., torch.Tensor] | None = None, keep: str = "network", **settings: Any) -> Registrar:
    torch.manual_seed(0)
    options = {"network": {"features": (4, 4)}, "generator": {"hidden": (4,)}, "head_features": 4, **settings}
    dims = options.pop("spatial_dims", 3)
    described = RegistrationSettings(dims, options.pop("channels", ("MRI",)), **options)
    made = Registrar(described, build_network(described), keep=keep)
    if field is not None:
        made._folded[Context(phi=0.5)] = Known(field)
    return made


def network_of(made: Registrar) -> Known:
    network = made._folded[Context(phi=0.5)]
    assert isinstance(network, Known)
    return network


def zero(sizes: list[int]) -> torch.Tensor:
    return torch.zeros(1, len(sizes), *sizes)


def wavy(sizes: list[int]) -> torch.Tensor:
    """Return a smooth field of up to two voxels, other along every axis."""
    ticks = torch.meshgrid(*[torch.linspace(0, 3, n) for n in sizes], indexing="ij")
    return torch.stack([(1 + 0.4 * d) * torch.sin(sum(ticks) + d) for d in range(len(sizes))])[None]


def scan(sizes: tuple[int, ...], affine: np.ndarray = EYE, seed: int = 0, name: str = "") -> MetaTensor:
    voxels = gaussian_filter(np.random.default_rng(seed).normal(size=sizes), 1.5) * 900 + 300
    meta = {"filename_or_obj": name} if name else {}
    return MetaTensor(torch.as_tensor(voxels)[None].float(), affine=torch.tensor(affine), meta=meta)


def at_points_of(image: MetaTensor, fixed: MetaTensor, field: torch.Tensor) -> np.ndarray:
    """Return the image where the field leads, by SciPy and matrices alone; NaN outside."""
    dims = fixed.dim() - 1
    kept = np.ix_([*range(dims), 3], [*range(dims), 3])
    there, back = np.asarray(fixed.affine)[kept], np.linalg.inv(np.asarray(image.affine)[kept])
    voxels = np.stack(np.meshgrid(*map(np.arange, fixed.shape[1:]), indexing="ij")) + field.numpy()
    points = np.vstack([voxels.reshape(dims, -1), np.ones(voxels[0].size)])
    where = (back @ there @ points)[:-1]
    values = map_coordinates(image[0].numpy().astype(float), where, order=1, mode="nearest")
    ends = np.asarray(image.shape[1:])[:, None] - 1
    values[((where < 0) | (where > ends)).any(axis=0)] = np.nan
    return values.reshape(fixed.shape[1:])


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR, LAS])
def test_no_displacement_gives_the_image_resampled_by_the_affines(affine: np.ndarray) -> None:
    fixed, moving = scan((9, 8, 7), affine), scan((12, 11, 10), np.diag([1.5, 1.5, 2, 1]) + np.eye(4, k=3) * -1, seed=1)
    moving.affine[:3, 3] = torch.as_tensor(affine @ (4, 4, 3, 1))[:3] - torch.tensor([9.0, 9, 9])
    result = registrar(zero).register(moving, fixed)
    assert not result.field.any()
    expected = at_points_of(moving, fixed, result.field)
    inside = np.isfinite(expected)
    assert 0.2 < inside.mean()
    assert np.allclose(result.moved[0].numpy()[inside], expected[inside], atol=1e-2)
    assert np.array_equal(result.moved.affine, fixed.affine) and result.moved.shape == fixed.shape


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR, LAS])
def test_field_is_that_of_the_network_on_the_grid_of_the_fixed_image(affine: np.ndarray) -> None:
    """The network sees RAS axes; its field must come back in the order and direction of the file's axes."""
    made = registrar(wavy)
    fixed, moving = scan((13, 12, 11), affine), scan((13, 12, 11), affine, seed=1)
    result = made.register(moving, fixed)
    (seen,) = network_of(made).seen
    order = np.abs(affine[:3, :3] / np.linalg.norm(affine[:3, :3], axis=0)).argmax(axis=0)
    assert list(seen.shape[2:]) == [13 if order[0] == n else 12 if order[1] == n else 11 for n in range(3)]
    u = wavy(list(seen.shape[2:]))[0].numpy()
    for axis in range(3):
        sign = np.sign(affine[order[axis], axis])
        # Axis `axis` of the file is axis order[axis] of the network, perhaps the other way round.
        turned = u.transpose(0, *(1 + order))
        flips = tuple(1 + n for n in range(3) if affine[order[n], n] < 0)
        expected = sign * np.flip(turned, flips)[order[axis]]
        assert np.allclose(result.field[axis].numpy(), expected, atol=1e-5)


@pytest.mark.parametrize("affine", [np.eye(4), OBLIQUE, PSR])
def test_moved_image_is_the_moving_one_where_the_field_leads(affine: np.ndarray) -> None:
    fixed, moving = scan((13, 12, 11), affine), scan((15, 9, 12), affine @ np.diag([0.9, 1.3, 1, 1]), seed=1)
    result = registrar(wavy).register(moving, fixed)
    expected = at_points_of(moving, fixed, result.field)
    inside = np.isfinite(expected)
    assert inside.mean() > 0.5
    assert np.allclose(result.moved[0].numpy()[inside], expected[inside], atol=1e-2)
    labels = MetaTensor((moving.as_tensor() > 300).float() * 7, affine=moving.affine)
    assert set(result.apply(labels, nearest=True).unique().tolist()) <= {0.0, 7.0}


def test_images_reach_the_network_in_ras_between_0_and_1_and_padded_as_in_training() -> None:
    made = registrar(zero, sizes=(16, 14, 12))
    fixed, moving = scan((9, 8, 17), LAS), scan((9, 8, 17), LAS, seed=1)
    result = made.register(moving, fixed)
    (seen,) = network_of(made).seen
    assert tuple(seen.shape) == (1, 2, 16, 14, 17)  # never cropped
    assert seen.min() == 0 and seen.max() == pytest.approx(1)
    core = seen[0, :, 3:12, 3:11].flip(1).numpy()
    for n, image in enumerate((moving, fixed)):
        low, high = np.percentile(image.numpy(), (0.5, 99.5))
        assert np.allclose(core[n], ((image[0].numpy() - low) / (high - low)).clip(0, 1), atol=1e-3)
    assert result.field.shape == (3, 9, 8, 17)
    assert result.report["sizes"] == {"moving": [9, 8, 17], "fixed": [9, 8, 17], "network": [16, 14, 17]}


@pytest.mark.parametrize("options", [{"spacing": (2.0, 2.0, 2.0)}, {"max_voxels": 300}])
def test_field_of_a_coarser_grid_has_the_same_displacements_in_mm(options: dict[str, Any]) -> None:
    made = registrar(lambda sizes: torch.full((1, 3, *sizes), 0.75), spacing=options.get("spacing"))
    made.max_voxels = options.get("max_voxels", made.max_voxels)
    fixed = scan((20, 16, 12))
    result = made.register(scan((20, 16, 12), seed=1), fixed)
    network = result.report["sizes"]["network"]
    assert np.prod(network) <= 500
    expected = [0.75 * n / m for n, m in zip((20, 16, 12), network, strict=True)]
    assert np.allclose(result.field.mean((1, 2, 3)), expected, rtol=1e-4)
    assert result.field.std((1, 2, 3)).max() < 1e-4


@pytest.mark.parametrize("affine", [EYE, OBLIQUE, PSR])
@pytest.mark.parametrize("steps", [0, 7])
@pytest.mark.parametrize("start", ["header", "centres"])
def test_inverse_leads_back(steps: int, start: str, affine: np.ndarray) -> None:
    fixed, moving = scan((24, 22, 20), affine), scan((23, 21, 22), affine @ np.diag([-1.1, 0.9, 1, 1]), seed=1)
    moving.affine[:3, 3] = torch.tensor(affine @ (24, 0.5, -1, 1))[:3]
    if start == "centres":
        moving.affine[:3, 3] += torch.tensor([70.0, -90, 30])
    result = registrar(wavy, integration_steps=steps).register(moving, fixed, start=start)
    inverse, residual = result.inverse
    assert inverse.shape == (3, 23, 21, 22) and np.array_equal(inverse.affine, moving.affine)
    assert residual.percentile_95 < 0.15  # backwards integration is less exact at the border
    grids = [np.asarray(image.affine) for image in (fixed, moving)]
    inner = np.indices(moving.shape[1:])[:, 7:-7, 7:-7, 7:-7].reshape(3, -1)
    # From middle voxels of the moving image to the fixed one by the inverse, and from there back by the field.
    there = inner + inverse.numpy()[:, 7:-7, 7:-7, 7:-7].reshape(3, -1)
    voxels = (np.linalg.inv(grids[0]) @ grids[1] @ np.vstack([there, np.ones(there.shape[1])]))[:3]
    assert (voxels > 1).all() and (voxels < np.array([[23], [21], [19]])).all()
    led = voxels + [map_coordinates(axis, voxels, order=1) for axis in result.field.numpy()]
    back = (np.linalg.inv(grids[1]) @ grids[0] @ np.vstack([led, np.ones(led.shape[1])]))[:3]
    assert np.percentile(np.linalg.norm(back - inner, axis=0), 95) < 0.1


def test_velocity_is_integrated() -> None:
    fixed = scan((12, 11, 10))
    result = registrar(wavy, integration_steps=7).register(scan((12, 11, 10), seed=1), fixed)
    assert torch.allclose(result.field.as_tensor(), integrate(wavy([12, 11, 10]), 7)[0], atol=1e-5)


def test_centres_lie_on_each_other() -> None:
    fixed, moving = scan((9, 8, 7)), scan((13, 12, 9), seed=1)
    moving.affine[:3, 3] = torch.tensor([500.0, 0, 0])
    with pytest.raises(RegistrationError, match="have no point in common"):
        registrar(zero).register(moving, fixed)
    result = registrar(zero).register(moving, fixed, start="centres")
    assert torch.equal(result.moved[0], moving[0, 2:11, 2:10, 1:8])


def test_affine_start_is_part_of_the_field() -> None:
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in (20, 22, 18)], indexing="ij")
    blob = np.exp(-(axes[0] ** 2) * 4 - (axes[1] - 0.2) ** 2 * 9 - axes[2] ** 2 * 6) + 0.4 * (axes[0] + axes[1] > 0.5)
    fixed = MetaTensor(torch.as_tensor(blob)[None].float(), affine=torch.eye(4))
    moving = MetaTensor(torch.as_tensor(blob)[None].float(), affine=torch.eye(4))
    moving.affine[:3, 3] = torch.tensor([5.0, -3, 2])
    result = registrar(zero).register(moving, fixed, start="affine")
    assert np.allclose(result.field.mean((1, 2, 3)), (5, -3, 2), atol=0.6)
    assert result.report["correlation"]["after"] > 0.97
    assert result.report["start"]["kind"] == "affine"


def test_same_as_the_hypernetwork() -> None:
    made = registrar()
    fixed, moving = scan((9, 8, 7)), scan((9, 8, 7), seed=1)
    with torch.no_grad():  # a network that is not near zero
        for parameter in made._folded.network.generator.parameters():
            parameter.add_(torch.randn_like(parameter) / 5)
    result = made.register(moving, fixed, phi=0.3)
    pair = torch.cat([made._scale(image.as_tensor()) for image in (moving, fixed)])[None]
    with torch.no_grad():
        expected = made._folded.network(pair, phi=0.3)[0]
    assert expected.abs().max() > 0.1 and torch.allclose(result.field.as_tensor(), expected, rtol=1e-4, atol=1e-5)


def test_2d_images_and_slices() -> None:
    made = registrar(wavy, spatial_dims=2)
    fixed, moving = scan((13, 12), np.diag([-2.0, 1, 1, 1])), scan((9, 14), np.diag([-2.5, 1, 1, 1]), seed=1)
    result = made.register(moving, fixed)
    expected = at_points_of(moving, fixed, result.field)
    inside = np.isfinite(expected)
    assert np.allclose(result.moved[0].numpy()[inside], expected[inside], atol=1e-2)
    flat = [MetaTensor(image.as_tensor()[..., None], affine=image.affine) for image in (moving, fixed)]
    assert torch.equal(made.register(*flat).field, result.field)
    with pytest.raises(RegistrationError, match="axial slice"):
        made.register(scan((9, 8), PSR), fixed)


def test_two_channels() -> None:
    made = registrar(zero, channels=("T1", "T2"))
    fixed, moving = (MetaTensor(torch.rand(2, 6, 5, 7), affine=torch.eye(4)) for _ in range(2))
    assert torch.allclose(made.register(moving, fixed).moved.as_tensor(), moving.as_tensor(), atol=1e-5)
    assert network_of(made).seen[0].shape == (1, 4, 6, 5, 7)
    with pytest.raises(RegistrationError, match="1 channels, but the network takes 2"):
        made.register(scan((6, 5, 7)), fixed)


def test_before_and_start_are_told_apart() -> None:
    fixed = scan((9, 8, 7), OBLIQUE)
    shift = np.eye(4)
    shift[:3, 3] = 30
    moving = MetaTensor(fixed.as_tensor(), affine=torch.tensor(shift @ np.asarray(fixed.affine)))
    found = registrar(zero).register(moving, fixed, start="centres").report["correlation"]
    assert list(found) == ["start", "after"] and found["start"] == pytest.approx(1, abs=1e-3)
    assert list(registrar(zero).register(fixed, fixed).report["correlation"]) == ["before", "after"]


def test_instance_optimization_lowers_the_loss() -> None:
    made = registrar(zero, loss={"similarity": "mse", "smoothness": "gradient", "weight": 0.01})
    fixed = scan((16, 15, 14))
    moving = MetaTensor(fixed.as_tensor().roll(1, dims=1), affine=fixed.affine)
    before = made.register(moving, fixed)
    after = made.register(moving, fixed, instance_steps=20)
    losses = after.report["instance_optimization"]
    assert losses["loss_after"] < 0.6 * losses["loss_before"]
    assert after.report["correlation"]["after"] > before.report["correlation"]["after"] + 0.1
    assert after.field[0, 4:-4, 4:-4, 4:-4].mean() > 0.3  # one voxel is the truth


def test_regularization_is_a_dial_of_networks_trained_for_it() -> None:
    made = registrar(regularization=(0.0, 1.0))
    fixed, moving = scan((9, 8, 7)), scan((9, 8, 7), seed=1)
    fields = [made.register(moving, fixed, 0.3, regularization=weight).field for weight in (None, 0.5, 0.9)]
    assert torch.equal(fields[0], fields[1]) and not torch.equal(fields[1], fields[2])
    with pytest.raises(PhiError, match="takes phi, not regularization; leave it out"):
        registrar().register(moving, fixed, regularization=0.5)


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (scan((9, 8), name="a.nii"), "a.nii is 2D, but the network registers 3D"),
        (MetaTensor(torch.full((1, 5, 4, 3), torch.nan)), "NaN or infinite"),
        (MetaTensor(torch.full((1, 5, 4, 3), 7.0)), "same value 7 everywhere"),
        (MetaTensor(torch.zeros(1, 0, 4, 3)), "is empty"),
    ],
)
def test_images_that_cannot_be_registered(image: MetaTensor, message: str) -> None:
    good = scan((9, 8, 7))
    for pair in ((image, good), (good, image)):
        with pytest.raises(RegistrationError, match=message):
            registrar(zero).register(*pair)


def test_arguments_that_are_not_valid() -> None:
    images = scan((5, 4, 3)), scan((5, 4, 3), seed=1)
    with pytest.raises(PhiError):
        registrar().register(*images, phi=1.5)
    with pytest.raises(RegistrationError, match="start must be one of"):
        registrar().register(*images, start="rigid")


@pytest.mark.parametrize("sizes", [(1, 1, 2), (1, 9, 1), (5, 4, 7)])
def test_tiny_images(sizes: tuple[int, ...]) -> None:
    assert registrar().register(scan(sizes) + torch.rand(1, *sizes), scan(sizes, seed=1)).field.shape == (3, *sizes)


def test_too_little_memory_leads_to_larger_voxels(caplog: pytest.LogCaptureFixture) -> None:
    made = registrar(wavy)
    network = network_of(made)

    def limited(sizes: list[int]) -> torch.Tensor:
        if np.prod(sizes) > 200:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return wavy(sizes)

    network.field = limited
    result = made.register(scan((11, 10, 9)), scan((11, 10, 9), seed=1))
    assert np.prod(result.report["sizes"]["network"]) <= 200 and result.field.shape == (3, 11, 10, 9)
    assert "larger voxels" in caplog.text
    with pytest.raises(MemoryError):
        network.field = lambda sizes: (_ for _ in ()).throw(torch.OutOfMemoryError("CUDA out of memory"))
        made.register(scan((11, 10, 9)), scan((11, 10, 9), seed=1))


def test_report_is_ready_for_json_and_threads_do_not_meet() -> None:
    made = registrar()
    images = scan((9, 8, 7)), scan((9, 8, 7), seed=1)
    json.dumps(made.register(*images, phi=(0.3,)).report)
    factors = [0.1, 0.2, 0.3, 0.4] * 2
    alone = [made.register(*images, phi=phi).field for phi in factors]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda phi: made.register(*images, phi=phi).field, factors))
    assert all(torch.equal(one, other) for one, other in zip(alone, together, strict=True))


def test_the_identity_costs_nothing() -> None:
    scanned = scan((16, 15, 14), OBLIQUE)
    result = registrar(wavy, keep="better").register(scanned, scanned)
    assert result.report["kept"] == "start" and not result.field.any()
    assert torch.equal(result.moved.as_tensor(), scanned.as_tensor())
    told = result.report["similarity_loss"]
    assert told["start"] == 0 < told["network"] and result.report["correlation"]["after"] == pytest.approx(1)


@pytest.mark.parametrize(("shift", "kept"), [(1.0, "network"), (-1.0, "start")])
def test_the_better_of_field_and_start_is_kept(shift: float, kept: str, caplog: pytest.LogCaptureFixture) -> None:
    fixed = scan((16, 15, 14))
    moving = MetaTensor(fixed.as_tensor().roll(1, dims=1), affine=fixed.affine)

    def moved(sizes: list[int]) -> torch.Tensor:
        field = zero(sizes)
        field[:, 0] = shift
        return field

    result = registrar(moved, keep="better").register(moving, fixed)
    assert result.report["kept"] == kept and ("--keep network" in caplog.text) == (kept == "start")
    assert result.field[0].unique().tolist() == [1.0 if kept == "network" else 0.0]
    assert not registrar(moved, keep="start").register(moving, fixed).field.any()
    assert registrar(moved, keep="network").register(moving, fixed).field[0].unique().tolist() == [shift]

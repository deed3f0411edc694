from __future__ import annotations

import numpy as np
import pytest
import torch

from monai_hyperscale.search import correlation


@pytest.mark.parametrize("shape", [(1, 9, 8), (3, 9, 8), (2, 5, 6, 7)])
def test_it_is_numpys_of_every_channel(shape: tuple[int, ...]) -> None:
    rng = np.random.default_rng(0)
    first, second = rng.normal(size=(2, *shape))
    second += 0.5 * first + 100 * np.arange(shape[0]).reshape(-1, *[1] * (len(shape) - 1))
    wanted = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    found = correlation(torch.from_numpy(first), torch.from_numpy(second))
    assert found == pytest.approx(np.mean(wanted), abs=1e-12)


def test_channels_of_other_means_do_not_count_as_likeness() -> None:
    rng = np.random.default_rng(0)
    offsets = np.array([0, 100])[:, None, None]
    first, second = rng.normal(size=(2, 2, 50, 50)) + offsets
    assert np.corrcoef(first.ravel(), second.ravel())[0, 1] > 0.99  # of all voxels together
    assert abs(correlation(torch.from_numpy(first), torch.from_numpy(second)) or 1) < 0.1


def test_a_channel_of_one_value_has_none() -> None:
    rng = torch.Generator().manual_seed(0)
    image = torch.rand(2, 6, 5, generator=rng)
    flat = torch.cat([image[:1], torch.full((1, 6, 5), 0.1)])
    assert correlation(image, flat) == pytest.approx(1)
    assert correlation(torch.full((1, 6, 5), 0.1), image[:1]) is None


def test_half_precision_is_measured_in_double() -> None:
    image = torch.rand(1, 40, 40, generator=torch.Generator().manual_seed(0)).to(torch.bfloat16)
    wanted = np.corrcoef(image.double().ravel(), image.double().ravel() ** 2)[0, 1]
    assert correlation(image, image.double() ** 2) == pytest.approx(wanted, abs=1e-9)

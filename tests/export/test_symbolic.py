"""What takes the place of the networks' own functions while they are recorded gives the same numbers."""

import numpy as np
import pytest
import torch

from monai_hyperscale.export import symbolic
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.networks.layers import patches, resize
from monai_hyperscale.networks.layers.norm import GuardedGroupNorm
from monai_hyperscale.registration.fields import resize_field
from monai_hyperscale.registration.warping import warp


@pytest.mark.parametrize("rounding", resize.ROUNDINGS)
@pytest.mark.parametrize("phi", [0.0, 0.1, 0.25, 0.3, 1 / 3, 0.5, 0.55, 0.7, float(np.float32(0.7)), 0.999, 1.0])
def test_sizes(phi, rounding):
    sizes = list(range(1, 3000, 7))
    assert symbolic._whole_number_sizes(sizes, phi, rounding) == resize._scaled_sizes(sizes, phi, rounding)


@pytest.mark.parametrize("sizes", [(4, 6), (5, 3), (4, 5, 3), (1, 1, 2)])
@pytest.mark.parametrize("patch_size", [2, 3])
def test_patches(sizes, patch_size):
    x = torch.rand(2, 3, *sizes)
    assert torch.equal(symbolic._to_patches(x, patch_size), patches.to_patches(x, patch_size))


@pytest.mark.parametrize("sizes", [(9, 7), (5, 8, 6)])
@pytest.mark.parametrize("padding", ["border", "zeros"])
@pytest.mark.parametrize("mode", ["linear", "nearest"])
def test_warp(sizes, padding, mode):
    # Away from halves, where nearest is a matter of rounding.
    image, field = torch.rand(2, 3, *sizes), torch.randint(-3, 4, (2, len(sizes), *sizes)) + 0.3
    expected = warp(image, field, mode, padding)
    torch.testing.assert_close(symbolic._warp(image, field, mode, padding), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("sizes", [(9, 7), (5, 8, 6)])
def test_fields_on_another_grid(sizes):
    field, new = torch.rand(2, len(sizes), *sizes), [n + 3 for n in sizes]
    torch.testing.assert_close(symbolic._resize_field(field, new), resize_field(field, new))
    assert symbolic._resize_field(field, sizes) is field


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("sizes", [(1, 1), (3, 2), (1, 1, 1), (4, 3, 5)])
def test_norm(groups, sizes):
    norm = GuardedGroupNorm(groups, 4)
    torch.nn.init.normal_(norm.weight)
    torch.nn.init.normal_(norm.bias)
    x = 5 + torch.randn(3, 4, *sizes)
    expected = norm(x)
    for own in (symbolic._group_norm, symbolic._some_group_norms):
        torch.testing.assert_close(own(norm, x), expected, atol=1e-5, rtol=1e-5)


def test_everything_is_put_back():
    before = resize._scaled_sizes, GuardedGroupNorm.forward
    with pytest.raises(KeyError), symbolic.symbolic_sizes(precise_norms=True):
        assert resize._scaled_sizes is not before[0]
        raise KeyError
    assert (resize._scaled_sizes, GuardedGroupNorm.forward) == before


@pytest.mark.slow
@pytest.mark.parametrize("options", [{"norm": "instance"}, {"patch_size": 2}, {"mode": "nearest", "rounding": "ceil"}])
def test_one_program_for_all_sizes(options):
    plain = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4), **options)).fold(0.3).eval()
    program = symbolic.exported_program(plain, torch.zeros(2, 1, 40, 50), dynamic=True).module()
    for shape in ((2, 1, 40, 50), (1, 1, 33, 17), (3, 1, 64, 9), (1, 1, 4, 3)):
        x = torch.rand(shape)
        with torch.no_grad():
            torch.testing.assert_close(program(x), plain(x), atol=1e-5, rtol=0)

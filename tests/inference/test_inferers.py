from __future__ import annotations

import pytest
import torch
import torch.nn as nn
from monai.inferers import SlidingWindowInferer

from monai_hyperscale.context import Context
from monai_hyperscale.errors import PhiError
from monai_hyperscale.inference import PhiInferer, PhiPartsInferer, PhiWholeImageInferer
from monai_hyperscale.networks import ScaleSpaceUNet


class Recorder(nn.Module):
    """A network that notes what it was called with and returns two channels, the second scaled by φ."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[int, ...], object, torch.dtype]] = []

    def forward(self, x: torch.Tensor, phi: float) -> torch.Tensor:
        dtype = torch.matmul(torch.ones(1, 1), torch.ones(1, 1)).dtype
        self.calls.append((tuple(x.shape), phi, dtype))
        return torch.cat([x, x * phi], dim=1).to(dtype)


def test_phi_reaches_the_network_and_may_change() -> None:
    network, inferer = Recorder(), PhiInferer(0.25)
    x = torch.rand(2, 1, 5, 4, 3)
    assert torch.equal(inferer(x, network), torch.cat([x, x * 0.25], 1))
    inferer.context = Context(phi=0.5)
    assert torch.equal(inferer(x, network), torch.cat([x, x * 0.5], 1))
    assert torch.equal(inferer(x, network, phi=1.0), torch.cat([x, x], 1))
    assert [phi for _, phi, _ in network.calls] == [0.25, 0.5, 1.0]


def test_every_part_of_a_batch_has_its_phi() -> None:
    network, x = ScaleSpaceUNet(2, 1, 2, features=(4, 4)).eval(), torch.rand(6, 1, 9, 7)
    inferer = PhiPartsInferer([0.1, 0.5, 1.0])
    with torch.no_grad():
        expected = torch.cat([network(x[2 * k : 2 * k + 2], phi=phi) for k, phi in enumerate((0.1, 0.5, 1.0))])
        torch.testing.assert_close(inferer(x, network), expected)
        # Networks with deep supervision return several maps.
        several = inferer(x, lambda part, phi: [network(part, phi=phi), part * phi])
    torch.testing.assert_close(several[0], expected)
    torch.testing.assert_close(several[1][4:], x[4:])
    with pytest.raises(ValueError, match="a batch of 4 cannot be divided among 3 phi"):
        inferer(x[:4], network)
    with pytest.raises(PhiError):
        PhiPartsInferer([0.5, 1.5])


def test_half_precision_is_the_networks_only() -> None:
    network = Recorder()
    logits = PhiInferer(0.5, precision="bf16")(torch.rand(1, 1, 4, 4), network)
    assert network.calls[0][2] == torch.bfloat16 and logits.dtype == torch.float32


def test_wrong_options() -> None:
    for context in (1.5, "0.5"):
        with pytest.raises(PhiError):
            PhiInferer(context)  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="precision"):
        PhiInferer(precision="x")


@pytest.mark.parametrize(("voxels", "windows"), [(8 * 8 * 8, 1), (8 * 8 * 8 - 1, 8)])
def test_windows_beyond_the_greatest_size(voxels: int, windows: int) -> None:
    network, x = Recorder(), torch.rand(1, 1, 8, 8, 8)
    inferer = PhiWholeImageInferer(0.5, roi_size=(4, 4, 4), max_voxels=voxels, overlap=0.0)
    assert torch.allclose(inferer(x, network), torch.cat([x, x * 0.5], 1), atol=1e-6)
    assert len(network.calls) == windows


def test_windows_are_those_of_monai() -> None:
    network, x = ScaleSpaceUNet(3, 1, 2, features=(4, 4)).eval(), torch.rand(1, 1, 13, 12, 11)
    with torch.no_grad():
        ours = PhiWholeImageInferer(0.3, roi_size=(8, 8, 8), max_voxels=1)(x, network)
        theirs = SlidingWindowInferer((8, 8, 8), 1, 0.25, mode="gaussian")(x, lambda window: network(window, phi=0.3))
    assert torch.allclose(ours, theirs, atol=1e-6)


def test_two_dimensions_over_the_last_axis_of_volumes() -> None:
    network, x = ScaleSpaceUNet(2, 1, 2, features=(4, 4)).eval(), torch.rand(1, 1, 9, 8, 11)
    with torch.no_grad():
        volume = PhiWholeImageInferer(0.3, spatial_dims=2)(x, network)
        slices = torch.stack([network(x[..., index], phi=0.3) for index in range(11)], dim=-1)
    assert torch.allclose(volume, slices, atol=1e-5)

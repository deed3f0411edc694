import pytest
import torch
import torch.nn as nn

from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.search import count_flops


@pytest.mark.parametrize(("dims", "sizes"), [(2, (9, 7)), (3, (5, 6, 7))])
def test_a_convolution_costs_two_operations_per_product(dims, sizes):
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims](3, 4, 3, padding=1)
    voxels = torch.Size(sizes).numel()
    assert count_flops(conv, torch.zeros(2, 3, *sizes)) == 2 * 2 * voxels * 3 * 4 * 3**dims


def test_the_cost_falls_with_phi():
    network = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4))
    costs = [count_flops(network.fold(phi), torch.zeros(1, 1, 32, 32)) for phi in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert costs == sorted(costs) and len(set(costs)) == len(costs)

import pytest
import torch
import torch.nn as nn

from monai_hyperscale.inference import PhiInferer, PhiWholeImageInferer
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.search import count_flops, measure_costs
from monai_hyperscale.search.cost import peak_memory


@pytest.mark.parametrize(("dims", "sizes"), [(2, (9, 7)), (3, (5, 6, 7))])
def test_a_convolution_costs_two_operations_per_product(dims, sizes):
    conv = {2: nn.Conv2d, 3: nn.Conv3d}[dims](3, 4, 3, padding=1)
    voxels = torch.Size(sizes).numel()
    image = torch.zeros(2, 3, *sizes)
    assert count_flops(conv, image) == 2 * 2 * voxels * 3 * 4 * 3**dims
    # The same where another kernel runs, in channels-last layout and without gradients.
    assert count_flops(FoldedInference(conv, PhiInferer()), image[:1]) == count_flops(conv, image[:1])


class Sampler(nn.Module):
    def __init__(self, sizes):
        super().__init__()
        self.grid = torch.zeros(2, *sizes, len(sizes))

    def forward(self, image):
        return nn.functional.grid_sample(image, self.grid, align_corners=False)


@pytest.mark.parametrize(("mode", "sizes"), [("linear", (9,)), ("bilinear", (9, 7)), ("trilinear", (5, 6, 7))])
def test_resizing_and_warping_cost_a_product_and_a_sum_for_each_neighbour(mode, sizes):
    image = torch.zeros(2, 3, *[4] * len(sizes))
    flops = 2 * 2 ** len(sizes) * 2 * 3 * torch.Size(sizes).numel()
    for layer in [nn.Upsample(sizes, mode=mode), *([Sampler(sizes)] if len(sizes) > 1 else [])]:
        assert count_flops(layer, image) == flops
        with torch.inference_mode():
            assert count_flops(layer, image) == flops
    assert count_flops(nn.Upsample(sizes), image) == 0  # the nearest voxel is copied


def test_the_cost_falls_with_phi():
    network = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4))
    costs = [count_flops(network.fold(phi), torch.zeros(1, 1, 32, 32)) for phi in (0.0, 0.1, 0.25, 0.5, 1.0)]
    assert costs == sorted(costs) and len(set(costs)) == len(costs)


def test_windows_count_as_often_as_they_run():
    conv = nn.Conv2d(1, 2, 1, bias=False)
    # Windows of 8 of which neighbours share a quarter: at 0, 6, 12 and 16 of 24.
    inferer = PhiWholeImageInferer(roi_size=(8, 8), spatial_dims=2, max_voxels=100, overlap=0.25)
    assert count_flops(FoldedInference(conv, inferer), torch.zeros(1, 1, 24, 24)) == 2 * 2 * 16 * 8 * 8


class Recorder(nn.Module):
    def __init__(self, name, calls):
        super().__init__()
        self.name, self.calls = name, calls
        self.weight = nn.Parameter(torch.zeros(7, len(name)))

    def forward(self, image):
        self.calls.append(self.name)
        return image


def test_networks_are_timed_in_turn_and_steps_are_told(monkeypatch):
    monkeypatch.setattr("monai_hyperscale.search.timing.MOST_REPEATS", 1)
    calls, steps = [], []
    runs = [lambda name=name: Recorder(name, calls) for name in ("a", "bb", "ccc")]
    costs = measure_costs(runs, torch.zeros(1, 1, 4), rounds=4, memory=False, progress=lambda: steps.append(1))
    assert [cost.parameters for cost in costs] == [7, 14, 21]
    assert len(steps) == 3 * (2 + 4)
    timed = calls[-12:]
    assert all(sorted(timed[start : start + 3]) == ["a", "bb", "ccc"] for start in range(0, 12, 3))
    assert all(
        cost.latency.runs == 4 and cost.latency.low <= cost.latency.median <= cost.latency.high for cost in costs
    )


def test_networks_that_do_not_fit_together_are_timed_in_several_groups(monkeypatch):
    monkeypatch.setattr("monai_hyperscale.search.cost._HELD", 60)
    runs = [lambda: nn.Conv2d(1, 10, 1, bias=False) for _ in range(5)]  # 40 bytes each
    costs = measure_costs(runs, torch.zeros(1, 1, 4, 4), rounds=2, memory=False)
    assert [cost.flops for cost in costs] == [320] * 5 and all(cost.latency.runs == 2 for cost in costs)
    assert measure_costs(runs[:1], torch.zeros(1, 1, 4, 4), rounds=0, memory=False)[0].latency is None


@pytest.mark.parametrize("after", [1, 3, 4, 5])
def test_an_interrupted_measurement_goes_on_with_what_it_saved(monkeypatch, after):
    monkeypatch.setattr("monai_hyperscale.search.timing.MOST_REPEATS", 1)
    image, saved, calls = torch.zeros(1, 1, 4), [], []
    runs = [lambda name=name: Recorder(name, calls) for name in ("a", "bb", "ccc")]

    def save(samples):
        saved.append(list(samples))
        if len(saved) == after:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_costs(runs, image, 3, memory=False, save=save)
    known, steps = saved[-1], []
    assert len(known) == min(after, 3) and {len(sample.seconds) for sample in known} == {max(0, after - 3)}
    calls.clear()
    costs = measure_costs(
        runs, image, 3, memory=False, progress=lambda: steps.append(1), known=known, save=lambda s: saved.append(s[:])
    )
    # What is left: counting the operations of each, two calls to warm up, and the rounds.
    rounds = 3 - max(0, after - 3)
    assert len(calls) == (3 - len(known)) + 3 * (2 + rounds) and len(steps) == 3 * (2 + 3)
    for place, (cost, before) in enumerate(zip(costs, known, strict=False)):
        assert cost.latency.runs == 3 and saved[-1][place].seconds[: len(before.seconds)] == before.seconds
    calls.clear()
    assert measure_costs(runs, image, 3, memory=False, known=saved[-1]) == costs and not calls


def padded(*mebibytes):
    """Return layers whose outputs have these sizes."""
    ends = [4, *(size * 2**18 for size in mebibytes)]
    return nn.Sequential(*(nn.ConstantPad1d((0, b - a), 0.0) for a, b in zip(ends, ends[1:], strict=False)))


def test_peak_memory_is_that_of_what_is_alive_at_once():
    image = torch.zeros(1, 1, 4)
    # Of three arrays in a row two are alive together.
    peaks = [peak_memory(padded(*sizes), image) for sizes in ((4,), (4, 8, 16), (4,))]
    assert [peak / 2**20 for peak in peaks] == pytest.approx([4, 24, 4], abs=0.01)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_costs_on_a_gpu():
    network = ScaleSpaceUNet(2, 1, 2, features=(8, 8, 8))
    image = torch.rand(1, 1, 96, 80)
    device = torch.device("cuda")
    runs = [lambda phi=phi: FoldedInference(network.fold(phi).to(device), PhiInferer()) for phi in (0.1, 0.5)]
    small, large = measure_costs(runs, image.to(device), rounds=5, memory=True)
    assert [small.flops, large.flops] == [count_flops(network.fold(phi), image) for phi in (0.1, 0.5)]
    assert small.parameters == large.parameters
    # A map of 8 channels of the whole image is alive beside the image at least, and never a hundred of them.
    maps = 8 * 96 * 80 * 4
    assert maps <= small.memory <= large.memory < 100 * maps
    assert small.latency.runs == 5 and 0 < small.latency.low <= small.latency.median <= small.latency.high

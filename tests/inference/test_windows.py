"""Labels in windows are those of MONAI's sliding windows, whose logits are all in memory at once."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from monai.inferers import SliceInferer, SlidingWindowInferer

from monai_hyperscale.inference import windows
from monai_hyperscale.inference.windows import WindowSums, labels_by_slices, labels_in_windows, most_likely

CASES = [  # sizes, window, overlap
    ((20, 9, 7), (8, 8, 8), 0.25),
    ((7, 9, 20), (8, 4, 8), 0.5),
    ((17, 13, 11), (6, 5, 4), 0.6),
    ((12, 8, 8), (4, 4, 4), 0.0),
    ((5, 6, 7), (8, 8, 8), 0.25),
    ((30, 5, 30), (8, 8, 8), 0.25),
    ((9, 20, 9), (8, 0, 8), 0.25),
    ((23, 31), (8, 16), 0.25),
]


def network(roi: tuple[int, ...], classes: int = 5, last: bool = False) -> Callable[[torch.Tensor], torch.Tensor]:
    """Return a network whose answer depends on the image, its neighbourhood, and the place in the window."""
    generator = torch.Generator().manual_seed(0)
    place = torch.randn(1, classes, *roi, generator=generator)
    weight = torch.randn(classes, 1, *[3] * len(roi), generator=generator)
    convolve = torch.conv3d if len(roi) == 3 else torch.conv2d

    def run(window: torch.Tensor) -> torch.Tensor:
        logits = convolve(window, weight, padding="same") + place
        return logits.movedim(1, -1).contiguous().movedim(-1, 1) if last else logits

    return run


@pytest.mark.parametrize("last", [False, True], ids=["channels first", "channels last"])
@pytest.mark.parametrize(("sizes", "roi", "overlap"), CASES)
def test_same_as_monai(
    sizes: tuple[int, ...], roi: tuple[int, ...], overlap: float, last: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    image = torch.randn(1, *sizes)
    run = network(tuple(r or n for r, n in zip(roi, sizes, strict=True)), last=last)
    logits = SlidingWindowInferer(roi, 1, overlap, mode="gaussian")(image[None], run)[0]
    first, second = logits.topk(2, dim=0).values
    clear = first - second > 1e-5
    for cache in (1, 1500, 2**22):  # plane by plane, some planes, whole windows
        monkeypatch.setattr(windows, "_CACHE", cache)
        found = labels_in_windows(image, run, roi, overlap)
        assert found.shape == sizes and found.dtype == torch.uint8
        assert torch.equal(found[clear], logits.argmax(0)[clear].to(torch.uint8))
        assert clear.float().mean() > 0.99 and len(found.unique()) == 5


def test_kept_sums_are_strips_of_the_overlap() -> None:
    sums = WindowSums((64, 40, 48), (16, 16, 16), overlap=0.25)
    for index, _ in sums.windows():
        sums.add(index, torch.ones(3, 16, 16, 16))
    # As wide as the overlap, of 8 voxels at the end of the axis of 48. The longest axis is the outermost: its strip has
    # the extent of the two others, the next one's that of a window and of the shortest axis.
    kept = {axis: tuple(strip.shape[1:]) for axis, strip in sums._strips.items()}
    assert kept == {0: (4, 40, 48), 2: (16, 40, 8), 1: (16, 4, 16)}
    voxels = sum(strip[0].numel() for strip in sums._strips.values())
    assert voxels < 64 * 40 * 48 / 5


def test_the_networks_output_is_left_alone() -> None:
    outputs = []

    def run(window: torch.Tensor) -> torch.Tensor:
        logits = torch.cat([-window, window], 1)
        outputs.append((logits, logits.clone()))
        return logits

    labels_in_windows(torch.randn(1, 9, 9, 9), run, (4, 4, 4))
    assert len(outputs) == 27 and all(torch.equal(*pair) for pair in outputs)


@pytest.mark.parametrize("classes", [1, 2, 26, 256, 257])
def test_most_likely_is_argmax_in_any_layout(classes: int) -> None:
    # Whole numbers, so that there are ties; more voxels than are compared at once.
    sizes = (5, 151, 101) if classes == 26 else (3, 7, 5)
    scores = torch.randint(0, 40, (classes, *sizes)).float()
    for laid in (scores, scores.movedim(0, -1).contiguous().movedim(-1, 0)):
        label = most_likely(laid)
        assert label.dtype == (torch.uint8 if classes <= 256 else torch.int16)
        assert torch.equal(label.long(), scores.argmax(0))


def test_slices_are_those_of_monai() -> None:
    volume = torch.randn(1, 9, 8, 19)
    batches = []
    single = network((9, 8))

    def run(slices: torch.Tensor) -> torch.Tensor:
        batches.append(len(slices))
        return torch.cat([single(each) for each in slices.split(1)])

    logits = SliceInferer(roi_size=(9, 8), spatial_dim=2, sw_batch_size=8, progress=False)(volume[None], run)[0]
    theirs, batches[:] = list(batches), []
    found = labels_by_slices(volume, run, batch_size=8)
    assert torch.equal(found, logits.argmax(0).to(torch.uint8)) and len(found.unique()) == 5
    assert batches == theirs == [8, 8, 3]


def test_every_combination_of_few_windows() -> None:
    for sizes in itertools.product((3, 4, 5, 7), repeat=2):
        image, run = torch.randn(1, *sizes), network((4, 4))
        logits = SlidingWindowInferer((4, 4), 1, 0.5, mode="gaussian")(image[None], run)[0]
        assert torch.equal(labels_in_windows(image, run, (4, 4), 0.5), logits.argmax(0).to(torch.uint8)), sizes

"""Weights for one phi in a network that resizes by another, against the hypernetwork's own parts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from monai_hyperscale.analysis import draw_transfer, fixed_curve, transfer_curve, transferred
from monai_hyperscale.bundle.settings import build_network
from monai_hyperscale.errors import ConfigError, DatasetError
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.io.files import load_weights
from monai_hyperscale.search import Workload
from monai_hyperscale.search.workload import open_workload

FIXED: dict[str, Any] = {"method": "fixed", "generator": {"name": "constant"}, "phi_range": (0.5, 0.5)}


def reference(workload: Workload, weights_phi: float, phi: float, image: torch.Tensor) -> torch.Tensor:
    """Run the primary network at phi with the weights generated for another, through the plain network's forward."""
    network = build_network(workload.settings)
    network.load_state_dict(load_weights(workload.bundle / "models" / "model.pt"))
    plain: Any = workload.settings.primary()
    plain.load_state_dict({**network.primary.state_dict(), **network.generate(weights_phi)})
    with torch.no_grad():
        return plain.eval()(image, phi=phi)


def output(run: FoldedInference, image: torch.Tensor) -> torch.Tensor:
    """Return what the network itself makes of an image: logits, not the label map."""
    return FoldedInference(run.network, run.inferer)(image)


@pytest.mark.parametrize("task", ["segmentation", "registration"])
@pytest.mark.parametrize("rescale_input", [False, True])
def test_it_is_f_of_phi_with_the_weights_of_another(
    task: str, rescale_input: bool, write_network: Callable[..., Path], dataset: Path
) -> None:
    bundle = write_network(task=task, rescale_input=rescale_input)
    workload = open_workload(bundle, dataset, limit=2)
    image = torch.rand(1, workload.settings.in_channels, 21, 18)
    run = transferred(workload, 0.5, 0.2)
    got = output(run, image)
    assert type(run) is type(workload.run(0.5))
    assert torch.equal(run(image), got if task == "registration" else got.argmax(1).to(torch.uint8))
    torch.testing.assert_close(got, reference(workload, 0.5, 0.2, image), atol=1e-4, rtol=1e-4)
    # Neither the network for one phi nor that for the other, and these stay as they were.
    for phi in (0.5, 0.2):
        own = output(workload.run(phi), image)
        torch.testing.assert_close(own, reference(workload, phi, phi, image), atol=1e-4, rtol=1e-4)
        assert (own - got).abs().max() > 1e-3 * own.abs().max()


def test_curves_are_the_scores_of_those_networks(write_network: Callable[..., Path], dataset: Path) -> None:
    workload = open_workload(write_network(), dataset)
    calls: list[int] = []
    curve = transfer_curve(workload, 0.5, [0.2, 0.5], bootstrap=50, progress=lambda: calls.append(1))
    own = transfer_curve(workload, None, [0.2, 0.5], bootstrap=50)
    assert len(calls) == 2 * len(workload.names) and list(curve.cases) == workload.names
    # At the weights' own phi both are the folded network.
    assert curve.scores[1] == own.scores[1] and curve.scores[0] != own.scores[0]
    run = transferred(workload, 0.5, 0.2)
    for index, name in enumerate(workload.names):
        scores = [score for score in workload.measure(index, run).scores.values() if score is not None]
        assert curve.cases[name][0] == pytest.approx(sum(scores) / len(scores))
    figure = draw_transfer([curve, own], "Dice")
    drawn = {line.get_label(): line.get_ydata() for line in figure.axes[0].lines}
    assert drawn["weights for φ = 0.5"][0] == curve.scores[0].mean
    assert curve.as_dict()["scores"][0] == vars(curve.scores[0])


def test_a_fixed_network_keeps_its_weights(write_network: Callable[..., Path], dataset: Path) -> None:
    workload = open_workload(write_network(), dataset)
    fixed = open_workload(write_network("fixed", **FIXED), dataset)
    curve = fixed_curve(fixed, workload, [0.3, 0.5], bootstrap=50)
    assert curve.weights_phi == 0.5 and curve.name == "fixed, trained at φ = 0.5"
    image = torch.rand(1, 1, 21, 18)
    expected = reference(fixed, 0.5, 0.3, image)
    torch.testing.assert_close(output(transferred(fixed, 0.3, 0.3), image), expected, atol=1e-4, rtol=1e-4)


def test_only_like_is_compared(write_network: Callable[..., Path], dataset: Path) -> None:
    workload = open_workload(write_network(), dataset)
    with pytest.raises(ConfigError, match="trained as sshn"):
        fixed_curve(workload, workload, [0.5])
    registration = open_workload(write_network("reg", "registration", **FIXED), dataset, limit=2)
    with pytest.raises(ConfigError, match="for registration, the other for segmentation"):
        fixed_curve(registration, workload, [0.5])
    split = {"data": "shapes", "cases": {"test": workload.names[:1]}}
    other = open_workload(write_network("split", **{**FIXED, "provenance": split}), dataset)
    with pytest.raises(DatasetError, match="other test cases of shapes"):
        fixed_curve(other, workload, [0.5])

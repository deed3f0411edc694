"""The coefficient of variation of generated weights, against NumPy's on the folded networks."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn as nn

from monai_hyperscale.analysis import coefficients_of_variation, draw_variation, layers_in_order, weight_variation
from monai_hyperscale.errors import ConfigError, PhiError
from monai_hyperscale.hypernet import ConstantGenerator, FiLMGenerator, HyperNetwork, MLPGenerator, WeightGenerator
from monai_hyperscale.networks import ScaleSpaceUNet

PHIS = [0.0, 0.1, 0.3, 0.5]


def unet() -> ScaleSpaceUNet:
    return ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4))


class Given(WeightGenerator):
    """Weights (φ − 0.25, 3, 0, 2 + φ) of a layer of four."""

    def bind(self, parameters: object, width: int = 1, keep_start: object = ()) -> None:
        pass

    def forward(self, context: torch.Tensor) -> dict[str, torch.Tensor]:
        phi = float(context)
        return {"weight": torch.tensor([[phi - 0.25, 3.0, 0.0, 2 + phi]])}


@pytest.mark.parametrize("generator", [MLPGenerator(hidden=(6, 4)), FiLMGenerator(head_scale=0.2)])
def test_it_is_that_of_the_folded_networks(generator: WeightGenerator) -> None:
    select = "norms" if isinstance(generator, FiLMGenerator) else "convolutions"
    network = HyperNetwork(unet(), generator, select=select)
    found = coefficients_of_variation(network, PHIS)
    folds = [network.fold(phi).state_dict() for phi in PHIS]
    assert set(found) == set(network.generated)
    for name, values in found.items():
        weights = np.stack([fold[name.removeprefix("body.")].numpy().astype(float) for fold in folds])
        with np.errstate(invalid="ignore"):
            expected = weights.std(0) / np.abs(weights.mean(0))
        expected[weights.std(0) == 0] = 0
        np.testing.assert_allclose(values.numpy(), expected, rtol=1e-5, atol=1e-9)
    assert max(float(values.max()) for values in found.values()) > 0.01


def test_weights_of_mean_zero() -> None:
    network = HyperNetwork(nn.Linear(4, 1, bias=False), Given(), select="all")
    (values,) = coefficients_of_variation(network, [0.0, 0.5]).values()
    # ±0.25 has the mean 0 and varies; 3 and 0 do not vary; 2 and 2.5 are 0.25 from 2.25.
    assert values.tolist() == [[float("inf"), 0.0, 0.0, pytest.approx(0.25 / 2.25)]]
    (layer,) = weight_variation(network, [0.0, 0.5], torch.zeros(1, 4))
    assert (layer.weights, layer.undefined) == (4, 1)
    assert (layer.low, layer.median) == (0.0, 0.0)
    assert layer.highest == pytest.approx(np.quantile([0, 0, 0.25 / 2.25], 0.95))
    assert layer.high == pytest.approx(np.quantile([0, 0, 0.25 / 2.25], 0.75))


def test_layers_come_in_the_order_of_the_forward_pass() -> None:
    class Backwards(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.last = nn.Conv2d(2, 1, 1)
            self.unused = nn.Conv2d(2, 1, 1)
            self.first = nn.Conv2d(1, 2, 1)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.last(self.first(x))

    network = HyperNetwork(Backwards())
    assert layers_in_order(network, torch.zeros(1, 1, 3, 3), 0.5) == ["first", "last", "unused"]
    # The hooks are gone.
    assert not any(module._forward_pre_hooks for module in network.modules())


def test_a_layer_has_all_its_weights_and_biases() -> None:
    network = HyperNetwork(unet(), MLPGenerator(hidden=(6, 4)))
    layers = weight_variation(network, PHIS, torch.zeros(1, 1, 8, 8))
    sizes = {name: values.numel() for name, values in coefficients_of_variation(network, PHIS).items()}
    assert sum(layer.weights for layer in layers) == sum(sizes.values())
    assert layers[-1].weights == sizes["body.final.weight"] + sizes["body.final.bias"]
    figure = draw_variation(layers, "a network")
    names = [label.get_text() for label in figure.axes[0].get_yticklabels()]
    assert names == [layer.layer for layer in layers]
    assert figure.axes[0].get_ylim()[0] > figure.axes[0].get_ylim()[1]  # the first on top


def test_nothing_varies_in_one_set_of_weights() -> None:
    with pytest.raises(ConfigError, match="same weights for every phi"):
        coefficients_of_variation(HyperNetwork(unet(), ConstantGenerator()), PHIS)
    with pytest.raises(PhiError, match="at least two phi"):
        coefficients_of_variation(HyperNetwork(unet()), [0.3])

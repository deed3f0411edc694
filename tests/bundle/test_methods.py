"""SSHN and the baselines: what they share, what they do not, and how a file of settings says so."""

from dataclasses import replace

import pytest
import torch

from monai_hyperscale.bundle import METHODS, build_network, method_generator
from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet import select_parameters
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings

SETTINGS = SegmentationSettings(2, ("MRI",), {1: "a"}, network={"features": (4, 4, 4)}, generator={"hidden": (6, 3)})
OPTIONS = {"sshn": {"hidden": (6, 3)}, "film": {"hidden": (5, 2)}}
IMAGE = torch.rand(1, 1, 13, 11, generator=torch.Generator().manual_seed(0))


def network_of(method, seed=0, **settings):
    torch.manual_seed(seed)
    generator = method_generator({"name": method, **OPTIONS.get(method, {})})
    return build_network(replace(SETTINGS, method=method, generator=generator, **settings)).eval()


def trained_a_little(network):
    """Give all weights a push, so that nothing that starts at zero stays there."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in network.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return network


@pytest.mark.parametrize("method", METHODS)
def test_only_some_methods_know_phi(method):
    network = trained_a_little(network_of(method))
    weights = [network.generate(phi) for phi in (0.1, 0.5)]
    same = all(torch.equal(weights[0][name], weights[1][name]) for name in weights[0])
    assert same == (method in ("fixed", "stochastic"))
    with torch.no_grad():
        torch.testing.assert_close(network.fold(0.3)(IMAGE), network(IMAGE, phi=0.3), atol=1e-5, rtol=0)


def test_the_baselines_are_the_primary_network_alone():
    for method in ("fixed", "stochastic"):
        network = network_of(method)
        torch.manual_seed(0)
        plain = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4)).eval()
        assert sum(p.numel() for p in network.parameters()) == sum(p.numel() for p in plain.parameters())
        with torch.no_grad():
            torch.testing.assert_close(network(IMAGE, phi=0.3), plain(IMAGE, phi=0.3), atol=1e-6, rtol=0)


def test_film_modulates_after_norms_where_there_are_any():
    network = network_of("film")
    assert network.generator.hidden == (5, 2)
    primary = ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4))
    assert list(network.generated) == select_parameters(primary, "norms")
    bare = network_of("film", network={"features": (4, 4, 4), "norm": None})
    assert list(bare.generated) == select_parameters(ScaleSpaceUNet(2, 1, 2, features=(4, 4, 4), norm=None))
    chosen = network_of("film", select="convolutions")
    assert list(chosen.generated) == select_parameters(primary)


def test_a_method_names_its_generator_and_its_arguments():
    assert method_generator("sshn") == {"name": "mlp"}
    assert method_generator({"generator": "spline", "basis": "cubic"}) == {"name": "spline", "basis": "cubic"}
    assert method_generator({"name": "film", "hidden": [4]}) == {"name": "film", "hidden": [4]}
    kept = method_generator({"hidden": [6, 3], "head_scale": 0.3}, keep_phi=0.4)
    assert kept == {"name": "mlp", "hidden": [6, 3], "head_scale": 0.0, "reference": 0.4}
    with pytest.raises(ConfigError, match="method must be one of sshn, fixed, stochastic, film, got 'san'"):
        method_generator("san")
    with pytest.raises(ConfigError, match="generator of sshn is mlp, linear or spline, got 'constant'"):
        method_generator({"name": "sshn", "generator": "constant"})


def test_one_factor_per_level_and_for_the_input():
    assert network_of("sshn", per_level=True).context["phi"].count == 2
    network = trained_a_little(network_of("sshn", per_level=True, rescale_input=True))
    assert network.context["phi"].count == network.primary.levels == 3
    with torch.no_grad():
        # The generator is told the factors that one φ stands for.
        torch.testing.assert_close(network(IMAGE, phi=0.3), network(IMAGE, phi=(0.6, 0.3, 0.3)), atol=1e-6, rtol=0)
        assert network(IMAGE, phi=(0.5, 0.4, 0.3)).shape == (1, 2, 13, 11)
        torch.testing.assert_close(
            network.fold((0.5, 0.4, 0.3))(IMAGE), network(IMAGE, phi=(0.5, 0.4, 0.3)), atol=1e-5, rtol=0
        )


def test_the_range_of_training_is_per_level():
    settings = replace(SETTINGS, phi_range=(0.1, 0.4), per_level=True)
    each = settings.context["phi"]
    assert each.trained((0.1,)) and each.trained((0.4, 0.2)) and not each.trained((0.4, 0.5))
    rescaled = replace(settings, rescale_input=True)
    each = rescaled.context["phi"]
    assert each.trained((0.8, 0.4, 0.1)) and not each.trained((0.1, 0.4, 0.1))
    assert replace(rescaled, phi_range=(0.0, 1.0)).context["phi"].trained((1.0, 1.0, 1.0))

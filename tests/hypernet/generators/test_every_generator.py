"""What holds for every generator behind the one interface."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch

from monai_hyperscale.errors import ConfigError
from monai_hyperscale.hypernet import (
    GENERATORS,
    HeadsGenerator,
    HyperNetwork,
    MLPGenerator,
    WeightGenerator,
    build_generator,
)
from monai_hyperscale.networks import ScaleSpaceUNet
from tests.networks.references import assert_plain, assert_shares_nothing

PHIS = (0.0, 0.1, 0.37, 0.5, 1.0)
SIZES: dict[int, list[tuple[int, ...]]] = {2: [(1, 1), (13, 8)], 3: [(1, 1, 1), (7, 5, 6)]}

#: One way to build each generator, so that its weights depend on φ from the start.
BUILD: dict[str, Callable[[], WeightGenerator]] = {
    "mlp": lambda: build_generator("mlp", hidden=(10, 8), head_scale=1.0),
    "mlp with everything": lambda: build_generator(
        "mlp", hidden=[6, 4], encoding="identity", activation="gelu", head_scale=1.0
    ),
    "linear": lambda: build_generator("linear", head_scale=1.0),
    "spline": lambda: build_generator("spline", head_scale=1.0),
    "film": lambda: build_generator("film", head_scale=0.5),
    "constant": lambda: build_generator("constant"),
}

every_generator = pytest.mark.parametrize("name", BUILD)
both_dimensions = pytest.mark.parametrize("spatial_dims", [2, 3])


def hypernetwork(name: str, spatial_dims: int = 2, select: str = "convolutions") -> HyperNetwork:
    return HyperNetwork(ScaleSpaceUNet(spatial_dims, 1, 2, features=(4, 4, 4)), BUILD[name](), select=select).eval()


def shared_values() -> dict[str, torch.Tensor]:
    shapes = {"a.weight": (6, 4, 3, 3), "a.bias": (6,), "b.weight": (5, 2, 3, 3, 3), "b.bias": (5,)}
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def test_every_name_is_covered() -> None:
    assert {type(build()) for build in BUILD.values()} == set(GENERATORS.values())
    assert all(type(build_generator(name)) is kind for name, kind in GENERATORS.items())
    assert isinstance(build_generator(), MLPGenerator)


@every_generator
@both_dimensions
def test_hypernetwork_equals_fold(name: str, spatial_dims: int) -> None:
    net = hypernetwork(name, spatial_dims, select="norms" if spatial_dims == 2 else "convolutions+norms")
    assert f"tensors={len(net.generated)}" in repr(net.generator)
    for phi in PHIS:
        plain = net.fold(phi)
        assert_plain(plain)
        assert_shares_nothing(plain, net)
        for sizes in SIZES[spatial_dims]:
            x = torch.randn(2, 1, *sizes)
            with torch.no_grad():
                torch.testing.assert_close(plain(x), net(x, phi=phi), atol=1e-5, rtol=0)
                torch.testing.assert_close(net(x[:1], phi=phi), net(x, phi=phi)[:1], atol=1e-5, rtol=1e-5)


@every_generator
def test_every_level_has_a_say(name: str) -> None:
    generator = BUILD[name]()
    generator.bind(shared_values(), width=3)
    context = torch.tensor([0.2, 0.3, 0.4])
    at = generator(context)
    for level in range(3):
        moved = context.clone()
        moved[level] += 0.05
        changed = [not torch.equal(value, at[key]) for key, value in generator(moved).items()]
        assert not any(changed) if name == "constant" else all(changed)


@every_generator
def test_shapes_order_and_dtype(name: str) -> None:
    for given in (torch.float16, torch.bfloat16, torch.float32, torch.float64):
        expected = torch.promote_types(given, torch.float32)
        start = {key: value.to(given) for key, value in shared_values().items()}
        generator = BUILD[name]()
        generator.bind(start)
        assert {parameter.dtype for parameter in generator.parameters()} == {expected}
        generated = generator(torch.tensor([0.3], dtype=expected))
        assert {key: value.shape for key, value in generated.items()} == {k: v.shape for k, v in start.items()}
        assert list(generated) == list(start)
        assert {value.dtype for value in generated.values()} == {expected}


@every_generator
def test_starts_at_the_weights_it_was_bound_to(name: str) -> None:
    generator: Any = BUILD[name]()
    if isinstance(generator, HeadsGenerator):
        generator.head_scale = 0.0
    start = shared_values()
    generator.bind(start)
    kept = {key: value.clone() for key, value in start.items()}
    for value in start.values():
        value.zero_()  # it has a copy of its own
    for phi in PHIS:
        torch.testing.assert_close(generator(torch.tensor([phi])), kept, atol=0, rtol=0)


@pytest.mark.parametrize("name", [name for name in BUILD if name not in ("film", "constant")])
def test_spread_of_the_change(name: str) -> None:
    # Relative to the tensor's own spread, whatever that is.
    start = {"small": torch.randn(40, 30) * 0.01, "large": torch.randn(40, 30) * 10}
    generator: Any = BUILD[name]()
    generator.head_scale = 0.1
    generator.bind(start, width=2)
    for key, value in generator(torch.tensor([1.0, 1.0])).items():
        change = (value - start[key]).detach()
        assert 0.02 < float(change.std() / start[key].std()) < 0.25, key


@every_generator
def test_copies_and_files(name: str, tmp_path: Any) -> None:
    net = hypernetwork(name)
    x = torch.randn(1, 1, 9, 9)
    with torch.no_grad():
        expected = net(x, phi=0.37)
        for copied in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
            torch.testing.assert_close(copied(x, phi=0.37), expected, atol=0, rtol=0)
        torch.save(net.state_dict(), tmp_path / "weights.pt")
        other = hypernetwork(name)
        assert (other(x, phi=0.37) - expected).abs().max() > 1e-4
        other.load_state_dict(torch.load(tmp_path / "weights.pt", weights_only=True))
        torch.testing.assert_close(other(x, phi=0.37), expected, atol=0, rtol=0)


@every_generator
def test_seed_decides(name: str) -> None:
    start = shared_values()
    states = []
    for seed in (1, 1, 2):
        torch.manual_seed(seed)
        generator = BUILD[name]()
        generator.bind(start)
        states.append(torch.cat([parameter.flatten() for parameter in generator.parameters()]))
    torch.testing.assert_close(states[0], states[1], atol=0, rtol=0)
    assert torch.equal(states[0], states[2]) == (name == "constant")


@every_generator
def test_gradients_are_right(name: str) -> None:
    generator = BUILD[name]()
    generator.bind({key: value.double() for key, value in shared_values().items()}, width=2)
    context = torch.tensor([0.13, 0.42], dtype=torch.float64, requires_grad=name != "constant")
    names, values = zip(*generator.named_parameters(), strict=True)

    def flat(context: torch.Tensor, *given: torch.Tensor) -> torch.Tensor:
        state = dict(zip(names, given, strict=True))
        generated = torch.func.functional_call(generator, state, (context,))
        return torch.cat([value.flatten() for value in generated.values()])

    assert torch.autograd.gradcheck(flat, (context, *values), fast_mode=True)


@every_generator
def test_unbound(name: str) -> None:
    with pytest.raises(ValueError, match="not been bound"):
        BUILD[name]()(torch.tensor([0.5]))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"name": "gan"}, "one of mlp, linear, spline, film, constant, got 'gan'"),
        ({"name": "os.system"}, "must be one of"),
        ({"name": "mlp", "depth": 3}, "'mlp' has no option 'depth'; its options are hidden, encoding"),
        ({"name": "constant", "hidden": [3]}, "'constant' has no option 'hidden'; it has none"),
        ({"name": "mlp", "hidden": []}, "'mlp' cannot be built from .*at least one width"),
        ({"name": "mlp", "hidden": 3}, "'mlp' cannot be built"),
        ({"name": "mlp", "activation": "step"}, "activation must be"),
        ({"name": "mlp", "activation": ["leakyrelu", {"slope": 1}]}, "activation must be"),
        ({"name": "linear", "encoding": "fourier"}, "encoding must be"),
        ({"name": "spline", "anchors": [0.5]}, "anchors must be"),
        ({"name": "spline", "anchors": "abc"}, "'spline' cannot be built"),
    ],
)
def test_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build_generator(**options)

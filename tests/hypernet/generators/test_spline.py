from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy.interpolate import make_interp_spline

from monai_hyperscale.hypernet import SplineGenerator

ANCHORS = (0.0, 0.1, 0.25, 0.5, 1.0)
PHIS = (0.0, 0.03, 0.1, 0.37, 0.5, 0.77, 1.0)


def bound(basis: str, anchors: Any = ANCHORS, width: int = 1) -> tuple[SplineGenerator, torch.Tensor]:
    generator = SplineGenerator(anchors, basis, head_scale=1.0)
    start = torch.randn(7, 3)
    generator.bind({"weight": start}, width)
    return generator, start


def curve(generator: SplineGenerator, level: int = 0) -> Any:
    """Return SciPy's curve through the changes at the anchors of one level."""
    places = generator.anchors.double().numpy()
    changes = generator.heads.detach().double().numpy()[level * places.size : (level + 1) * places.size]
    if generator.basis == "cubic" and places.size > 2:
        return make_interp_spline(places, changes, k=3, bc_type="natural")
    return make_interp_spline(places, changes, k=1)


@pytest.mark.parametrize("basis", ["linear", "cubic"])
@pytest.mark.parametrize("anchors", [ANCHORS, (0.0, 0.5), (0.05, 0.2, 0.5)])
def test_values(basis: str, anchors: tuple[float, ...]) -> None:
    generator, start = bound(basis, anchors)
    for phi in PHIS:
        inside = min(max(phi, anchors[0]), anchors[-1])  # flat beyond the outer anchors
        expected = start.double().numpy() + curve(generator)(inside).reshape(7, 3)
        found = generator(torch.tensor([phi]))["weight"].detach().double().numpy()
        np.testing.assert_allclose(found, expected, atol=2e-6)


@pytest.mark.parametrize("basis", ["linear", "cubic"])
def test_levels_add_up(basis: str) -> None:
    generator, start = bound(basis, width=3)
    phis = (0.07, 0.3, 0.9)
    expected = start.double().numpy() + sum(curve(generator, i)(phi) for i, phi in enumerate(phis)).reshape(7, 3)
    found = generator(torch.tensor(phis))["weight"].detach().double().numpy()
    np.testing.assert_allclose(found, expected, atol=3e-6)


@pytest.mark.parametrize("basis", ["linear", "cubic"])
def test_basis(basis: str) -> None:
    generator, _ = bound(basis)
    for i, anchor in enumerate(ANCHORS):
        torch.testing.assert_close(generator.embed(torch.tensor([anchor])), torch.eye(5)[i], atol=1e-6, rtol=0)
    for phi in (*PHIS, -0.2, 1.3):
        assert float(generator.embed(torch.tensor([phi])).sum()) == pytest.approx(1, abs=1e-5)


def test_only_the_neighbours_count_in_a_linear_basis() -> None:
    generator, _ = bound("linear")
    e = generator.embed(torch.tensor([0.3]))
    torch.testing.assert_close(e, torch.tensor([0, 0, 0.8, 0.2, 0]))


def test_settings_are_not_in_the_weights_file() -> None:
    generator, _ = bound("cubic")
    assert set(generator.state_dict()) == {"heads", "base"}
    assert sum(parameter.numel() for parameter in generator.parameters()) == 6 * 21
    assert "anchors=(0, 0.1, 0.25, 0.5, 1), basis=cubic" in repr(generator)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"anchors": (0.5,)}, "two or more increasing"),
        ({"anchors": ()}, "two or more increasing"),
        ({"anchors": (0.0, 0.5, 0.5)}, "two or more increasing"),
        ({"anchors": (0.5, 0.0)}, "two or more increasing"),
        ({"anchors": (0.0, float("nan"))}, "two or more increasing"),
        ({"basis": "quadratic"}, "'linear' or 'cubic'"),
    ],
)
def test_bad_arguments(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SplineGenerator(**options)

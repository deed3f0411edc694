"""The tests that every φ-network passes: inherit :class:`PhiNetworkTests` and say how to build the network."""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn

from monai_hyperscale.context import ContextNumber, ContextSpec
from monai_hyperscale.errors import PhiError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator, WeightGenerator
from monai_hyperscale.networks.layers import CPUConvolutions
from tests.networks.comparisons import (
    assert_same,
    assert_threads_agree,
    copy_of,
    difference,
    joined,
    relative_error,
    tensors,
)
from tests.networks.references import assert_plain, assert_shares_nothing

PHIS = (0.0, 0.1, 0.37, 0.5, 1.0)
USUAL_PHI = 0.37
#: One voxel, odd, prime and even, alone and mixed.
SIZES: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (7, 7), (31, 31), (32, 32), (48, 33), (1, 17)],
    3: [(1, 1, 1), (7, 7, 7), (16, 16, 16), (19, 13, 17), (11, 1, 2)],
}
ODD: dict[int, tuple[int, ...]] = {2: (23, 18), 3: (13, 10, 9)}
BAD_PHIS: list[Any] = [-0.01, 1.01, math.nan, math.inf, "0.5", "", True, None, [], [0.5, 2.0], 1j, {"phi": 0.5}]

both_dimensions = pytest.mark.parametrize("spatial_dims", [2, 3])


class PhiNetworkTests:
    """What holds for every φ-network, in each of its ``dimensions``; networks may return one map or a list of them.

    A subclass is named ``Test…`` and implements :meth:`network`; it may change the class attributes, and
    :meth:`check_output` where the network returns anything else than maps of the image's size. A test that takes
    ``spatial_dims`` runs once for each of ``dimensions``.
    """

    #: Spatial dimensions in which the network exists.
    dimensions: tuple[int, ...] = (2, 3)
    #: Those of them that are tested with the slow tests.
    slow_dimensions: tuple[int, ...] = ()
    in_channels = 2
    #: Whether networks and folds run as in training, where deep supervision returns further maps.
    training = False
    #: Of every network the base may ask for; gradients reach all weights at this size and ``gradient_phi``.
    gradient_size: dict[int, tuple[int, ...]] = {2: (48, 48), 3: (32, 32, 32)}
    gradient_phi = 0.5
    #: How folds are exported to ONNX: with ``torch.export``, with the exporter for TorchScript, or with both.
    exporters: tuple[str, ...] = ("torch.export", "torchscript")
    #: Whether TorchScript of folds is tested at every φ, in two dimensions, and not with the slow tests but at one.
    quick_scripts = False

    def network(self, spatial_dims: int) -> nn.Module:
        """Return a small φ-network with ``in_channels`` input channels and no dropout."""
        raise NotImplementedError

    def hypernetwork(self, spatial_dims: int) -> HyperNetwork:
        return HyperNetwork(self.network(spatial_dims), self.generator()).train(self.training)

    def generator(self) -> WeightGenerator:
        # Heads as large as the weights themselves: what depends on φ is then plain to see.
        return MLPGenerator(hidden=(10, 8), head_scale=1.0)

    def folded(self, net: Any, phi: Any) -> nn.Module:
        return net.fold(phi).train(self.training)

    def images(self, sizes: tuple[int, ...], batch: int = 1) -> torch.Tensor:
        return torch.randn(batch, self.in_channels, *sizes)

    def check_output(self, x: torch.Tensor, y: Any) -> None:
        """Check the shapes of what the network returned for the images ``x``."""
        channels = {maps.shape[-1 - (x.dim() - 2)] for maps in tensors(y)}
        assert len(channels) == 1
        for maps in tensors(y):
            assert maps.shape[0] == x.shape[0] and maps.shape[2 - x.dim() :] == x.shape[2:]

    def prediction(self, y: Any) -> torch.Tensor:
        """Return the map that is the prediction from what the network returned, in training or not."""
        return tensors(y)[0]

    @classmethod
    def pytest_generate_tests(cls, metafunc: Any) -> None:
        if "exporter" in metafunc.fixturenames:
            metafunc.parametrize(("spatial_dims", "exporter", "phi"), cls._exports())
        elif metafunc.function is cls.test_torchscript:
            metafunc.parametrize(("spatial_dims", "phi"), cls._scripts())
        elif "spatial_dims" in metafunc.fixturenames:
            marks = metafunc.definition.iter_markers("parametrize")
            if not any("spatial_dims" in mark.args[0] for mark in marks):
                metafunc.parametrize("spatial_dims", [cls._param(n) for n in cls.dimensions])

    @classmethod
    def _scripts(cls) -> list[Any]:
        quick = {(n, phi) for n in cls.dimensions for phi in PHIS if phi == USUAL_PHI or (cls.quick_scripts and n == 2)}
        return [cls._param(n, phi, slow=(n, phi) not in quick) for n in cls.dimensions for phi in PHIS]

    @classmethod
    def _exports(cls) -> list[Any]:
        # ONNX in every dimension; torch.export takes seconds, and runs in the highest where there is another way. The
        # extremes of φ, where maps of one voxel are repeated or none is resized, are tested with the slow tests.
        others = set(cls.dimensions[:-1]) if "torchscript" in cls.exporters else set()
        return [
            cls._param(n, how, phi, slow=(how == "torch.export" and n in others) or phi != USUAL_PHI)
            for n in cls.dimensions
            for how in cls.exporters
            for phi in (0.0, USUAL_PHI, 1.0)
        ]

    @classmethod
    def _param(cls, spatial_dims: int, *values: Any, slow: bool = False) -> Any:
        slow = slow or spatial_dims in cls.slow_dimensions
        return pytest.param(spatial_dims, *values, marks=[pytest.mark.slow] if slow else [])

    # --- values and shapes

    @pytest.mark.parametrize("phi", PHIS)
    def test_any_size_comes_back_and_hypernetwork_equals_fold(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims)
        plain = self.folded(net, phi)
        with torch.no_grad():
            for sizes in SIZES[spatial_dims]:
                x = self.images(sizes, batch=2)
                y = net(x, phi=phi)
                self.check_output(x, y)
                assert all(maps.isfinite().all() for maps in tensors(y))
                assert_same(plain(x), y, 1e-5)

    @pytest.mark.parametrize("phi", [0, 0.3, 1])
    def test_batch_equals_loop(self, spatial_dims: int, phi: float) -> None:
        # In float64: convolutions of several images may add in another order than those of one.
        net = self.hypernetwork(spatial_dims).double()
        for sizes in (ODD[spatial_dims], (1,) * spatial_dims):
            x = self.images(sizes, batch=3).double()
            with torch.no_grad():
                together = tensors(net(x, phi=phi))
                alone = [tensors(net(x[i : i + 1], phi=phi)) for i in range(3)]
            for maps, *parts in zip(together, *alone, strict=True):
                torch.testing.assert_close(maps, torch.cat(parts), atol=1e-5, rtol=1e-5)

    def test_phi_changes_the_result(self, spatial_dims: int) -> None:
        network = self.network(spatial_dims).train(self.training)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            results = [joined(network(x, phi=phi)) for phi in (0.1, 0.4, 0.9)]
        assert difference(results[0], results[1]) > 1e-3
        assert difference(results[1], results[2]) > 1e-3

    def test_a_factor_per_level(self, spatial_dims: int) -> None:
        network: Any = self.network(spatial_dims).train(self.training)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            one = network(x, phi=0.8)
            factors = network.context["phi"].spread(0.8)
            assert len(factors) == network.levels and factors[-1] == 0.8
            assert_same(network(x, phi=factors), one, 0)
            assert_same(network(x, phi=torch.tensor(factors)), one, 1e-5)
            for level in range(network.levels):
                # Each of them has a say of its own.
                varied = [0.4 if index == level else factor for index, factor in enumerate(factors)]
                y = network(x, phi=varied)
                assert_same(self.folded(network, varied)(x), y, 1e-5)
                assert difference(y, one) > 1e-4, f"level {level} changes nothing"

    def test_a_factor_per_level_reaches_the_generator(self, spatial_dims: int) -> None:
        primary: Any = self.network(spatial_dims)
        net = HyperNetwork(primary, self.generator(), context=ContextSpec(ContextNumber("phi", count=None))).train(
            self.training
        )
        x = self.images(ODD[spatial_dims])
        varied = [0.8 - 0.1 * level for level in range(primary.levels)]
        with torch.no_grad():
            assert_same(self.folded(net, varied)(x), net(x, phi=varied), 1e-5)
            assert_same(self.folded(net, 0.4)(x), net(x, phi=0.4), 1e-5)

    def test_bad_phi(self, spatial_dims: int) -> None:
        x = self.images((4,) * spatial_dims)
        network: Any = self.network(spatial_dims)
        calls: list[Callable[[Any], Any]] = [lambda phi: network(x, phi=phi), network.fold]
        net = self.hypernetwork(spatial_dims)
        calls += [lambda phi: net(x, phi=phi), net.fold]
        for phi in BAD_PHIS:
            for call in calls:
                with pytest.raises(PhiError, match="phi"):
                    call(phi)
        for count in {2, network.levels - 1, network.levels + 1} - {0, 1, network.levels}:
            for call in calls:
                with pytest.raises(PhiError, match=f"{network.levels}, one per level|for all levels"):
                    call([0.5] * count)

    # --- hypernetwork and fold

    def test_fold_knows_nothing_of_the_hypernetwork(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        joined(net(self.images(ODD[spatial_dims]), phi=0.4)).sum().backward()
        plain = net.fold(0.4)
        assert_shares_nothing(plain, net)
        assert_plain(plain)
        # One parameter for each that the primary network had, and none of the generator's.
        network = self.network(spatial_dims)
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())
        assert sum(b.numel() for b in plain.buffers()) == sum(b.numel() for b in network.buffers())

    def test_fold_outlives_training(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        plain = self.folded(net, 0.4)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            folded, generated = plain(x), net(x, phi=0.4)
            for parameter in net.parameters():
                parameter.add_(0.1)
            assert_same(plain(x), folded, 0)
            changed = net(x, phi=0.4)
            assert difference(changed, generated) > 1e-3
            for parameter in plain.parameters():
                parameter.zero_()
            assert_same(net(x, phi=0.4), changed, 0)

    def test_fold_of_the_network_alone(self, spatial_dims: int) -> None:
        network: Any = self.network(spatial_dims).train(self.training)
        x = self.images(ODD[spatial_dims])
        for phi in (0, 0.3, 1):
            plain = self.folded(network, phi)
            assert_same(plain(x), network(x, phi=phi), 1e-5)
            assert_shares_nothing(plain, network)

    def test_two_threads_two_factors(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images((9,) * spatial_dims)
        assert_threads_agree(lambda phi: joined(net(x, phi=phi)), [0.2, 0.9], rounds=8)

    # --- training

    def test_gradient_reaches_everything(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims).train()
        y = joined(net(self.images(self.gradient_size[spatial_dims]), phi=self.gradient_phi))
        (y * torch.randn_like(y)).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert (parameter.grad != 0).all(), f"{name}: {int((parameter.grad == 0).sum())} weights without gradient"

    @pytest.mark.parametrize("phi", [0, 0.05, 1])
    def test_gradient_is_finite_at_the_extremes(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims).train()
        for sizes in ((1,) * spatial_dims, ODD[spatial_dims]):
            net.zero_grad()
            x = self.images(sizes).requires_grad_()
            joined(net(x, phi=phi)).square().sum().backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
            assert x.grad is not None and x.grad.abs().sum() > 0

    def test_train_and_eval(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            expected = net.eval()(x, phi=0.3)
            net.train()
            plain = net.fold(0.3)
            assert all(module.training for module in net.modules())
            assert not any(module.training for module in plain.modules())
            assert_same(plain(x), expected, 1e-5)
            # Deep supervision returns further maps in training; the first is the prediction.
            assert_same(self.prediction(net(x, phi=0.3)), tensors(expected)[0], 0)

    def test_autocast(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        exact = joined(net(x, phi=0.3))
        with torch.autocast("cpu", dtype=torch.bfloat16), CPUConvolutions():
            y = joined(net(x, phi=0.3))
            folded = joined(self.folded(net, 0.3)(x))
        assert y.dtype == torch.bfloat16
        assert relative_error(y, exact) < 0.05
        torch.testing.assert_close(folded, y, atol=0.02, rtol=0.02)
        y.float().square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.dtype == torch.float32

    @pytest.mark.parametrize("phi", [0, 0.5])
    def test_bfloat16(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            exact = joined(net(x, phi=phi))
            net.bfloat16()
            y = joined(net(x.bfloat16(), phi=phi))
            torch.testing.assert_close(joined(self.folded(net, phi)(x.bfloat16())), y, atol=0.02, rtol=0.02)
        assert y.dtype == torch.bfloat16
        assert relative_error(y, exact) < 0.1

    # --- copies and files

    @pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
    def test_copies(self, spatial_dims: int, how: str) -> None:
        net = self.hypernetwork(spatial_dims)
        copied = copy_of(net, how)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            expected = net(x, phi=0.3)
            assert_same(copied(x, phi=0.3), expected, 0)
            assert_same(self.folded(copied, 0.3)(x), expected, 1e-5)
            assert_shares_nothing(copied, net)
            for parameter in net.parameters():
                parameter.zero_()
            assert_same(copied(x, phi=0.3), expected, 0)

    def test_state_dict(self, spatial_dims: int, tmp_path: Any) -> None:
        net = self.hypernetwork(spatial_dims)
        torch.manual_seed(1)
        other = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            assert difference(other(x, phi=0.3), net(x, phi=0.3)) > 1e-3
            torch.save(net.state_dict(), tmp_path / "model.pt")
            other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
            assert_same(other(x, phi=0.3), net(x, phi=0.3), 0)
            # A folded network has the keys of its other folds, so their weights can be exchanged.
            plain, target = net.fold(0.3), net.fold(0.3)
            for parameter in target.parameters():
                parameter.zero_()
            target.load_state_dict(plain.state_dict())
            assert_same(target(x), plain(x), 0)

    def test_prints(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        assert "generated" in repr(net)
        assert "generated" not in repr(net.fold(0.25))

    # --- export

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # a trace is for one size of image
    def test_torchscript(self, spatial_dims: int, phi: float) -> None:
        plain = self.folded(self.hypernetwork(spatial_dims), phi)
        stream = io.BytesIO()
        torch.jit.save(torch.jit.script(plain), stream)
        stream.seek(0)
        scripted = torch.jit.load(stream)
        traced = torch.jit.trace(plain, self.images(ODD[spatial_dims]))
        with torch.no_grad():
            for sizes in ((1,) * spatial_dims, (16,) * spatial_dims, ODD[spatial_dims]):
                x = self.images(sizes, batch=2)
                assert_same(scripted(x), plain(x), 1e-4)
            x = self.images(ODD[spatial_dims])
            assert_same(traced(x), plain(x), 1e-4)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    def test_export(self, spatial_dims: int, exporter: str, phi: float, tmp_path: Any) -> None:
        """``torch.export`` where that is the exporter, and ONNX."""
        plain = self.hypernetwork(spatial_dims).fold(phi)
        x = self.images(ODD[spatial_dims])
        source: Any = plain
        if exporter == "torch.export":
            source = torch.export.export(plain, (self.images(ODD[spatial_dims]),))
            with torch.no_grad():
                assert_same(source.module()(x), plain(x), 1e-4)
            pytest.importorskip("onnxscript", reason="needs the export extra")
        pytest.importorskip("onnx", reason="needs the export extra")
        onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
        path = str(tmp_path / "model.onnx")
        torch.onnx.export(source, (x,), path, input_names=["x"], dynamo=exporter == "torch.export", verbose=False)
        session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            for value, expected in zip(session.run(None, {"x": x.numpy()}), tensors(plain(x)), strict=True):
                np.testing.assert_allclose(value, expected.numpy(), atol=1e-4, rtol=0)

"""The tests that every φ-network passes: inherit :class:`PhiNetworkTests` and say how to build the network."""

from __future__ import annotations

import io
import itertools
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
    2: [(1, 1), (7, 7), (31, 31), (48, 33), (1, 17)],
    3: [(1, 1, 1), (16, 8, 7), (19, 13, 11), (11, 1, 2)],
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
    #: What networks in bfloat16 return.
    half_output = torch.bfloat16
    #: How folds are exported to ONNX: with ``torch.export``, with the exporter for TorchScript, or with both.
    exporters: tuple[str, ...] = ("torch.export", "torchscript")
    #: Whether ``torch.export``, where it is one of two, is tested with the quick tests.
    quick_export = False

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
        # Compiling and exporting take seconds: in the highest dimension, at one φ; the others are slow tests. At the
        # extremes of φ maps of one voxel are repeated, or none is resized.
        quick = (cls.dimensions[-1], USUAL_PHI)
        if "exporter" in metafunc.fixturenames:
            cases = [(n, phi, how) for n in cls.dimensions for phi in (0.0, USUAL_PHI, 1.0) for how in cls.exporters]
            second = () if cls.quick_export or len(cls.exporters) == 1 else ("torch.export",)
            params = [cls._param(*case, slow=case[:2] != quick or case[2] in second) for case in cases]
            metafunc.parametrize(("spatial_dims", "phi", "exporter"), params)
        elif metafunc.function is cls.test_torchscript:
            cases = [(n, phi) for n in cls.dimensions for phi in PHIS]
            metafunc.parametrize(("spatial_dims", "phi"), [cls._param(*case, slow=case != quick) for case in cases])
        elif "spatial_dims" in metafunc.fixturenames:
            marks = metafunc.definition.iter_markers("parametrize")
            if not any("spatial_dims" in mark.args[0] for mark in marks):
                metafunc.parametrize("spatial_dims", [cls._param(n) for n in cls.dimensions])

    @classmethod
    def _param(cls, spatial_dims: int, *values: Any, slow: bool = False) -> Any:
        slow = slow or spatial_dims in cls.slow_dimensions
        return pytest.param(spatial_dims, *values, marks=[pytest.mark.slow] if slow else [])

    # --- values and shapes

    def test_any_size_comes_back_and_hypernetwork_equals_fold(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        with torch.no_grad():
            for phi in PHIS:
                plain = self.folded(net, phi)
                for sizes in SIZES[spatial_dims]:
                    x = self.images(sizes, batch=2)
                    y = net(x, phi=phi)
                    self.check_output(x, y)
                    assert all(maps.isfinite().all() for maps in tensors(y)), (phi, sizes)
                    assert_same(plain(x), y, 1e-5)

    def test_batch_equals_loop(self, spatial_dims: int) -> None:
        # In float64: convolutions of several images may add in another order than those of one.
        net = self.hypernetwork(spatial_dims).double()
        for phi, sizes in itertools.product((0, 0.3, 1), (ODD[spatial_dims], (1,) * spatial_dims)):
            x = self.images(sizes, batch=3).double()
            with torch.no_grad():
                together = tensors(net(x, phi=phi))
                alone = [tensors(net(x[i : i + 1], phi=phi)) for i in range(3)]
            for maps, *parts in zip(together, *alone, strict=True):
                torch.testing.assert_close(maps, torch.cat(parts), atol=1e-5, rtol=1e-5)

    def test_a_factor_per_level(self, spatial_dims: int) -> None:
        network: Any = self.network(spatial_dims).train(self.training)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            one = network(x, phi=0.8)
            factors = network.context["phi"].spread(0.8)
            assert len(factors) == network.levels and factors[-1] == 0.8
            assert_same(network(x, phi=factors), one, 0)
            assert_same(network(x, phi=torch.tensor(factors)), one, 1e-5)
            plain = self.folded(network, 0.8)
            assert_same(plain(x), one, 1e-5)
            assert_shares_nothing(plain, network)
            for level in range(network.levels):
                # Each of them has a say of its own.
                varied = [0.4 if index == level else factor for index, factor in enumerate(factors)]
                assert difference(network(x, phi=varied), one) > 1e-4, f"level {level} changes nothing"
            context = ContextSpec(ContextNumber("phi", count=None))
            net = HyperNetwork(network, self.generator(), context=context).train(self.training)
            for phi in ([0.8 - 0.1 * level for level in range(network.levels)], 0.4):
                assert_same(self.folded(net, phi)(x), net(x, phi=phi), 1e-5)

    def test_bad_phi(self) -> None:
        spatial_dims = self.dimensions[0]
        x = self.images((4,) * spatial_dims)
        network: Any = self.network(spatial_dims)
        net = self.hypernetwork(spatial_dims)
        calls: list[Callable[[Any], Any]] = [lambda phi: network(x, phi=phi), network.fold]
        calls += [lambda phi: net(x, phi=phi), net.fold]
        for call in calls:
            for phi in BAD_PHIS:
                with pytest.raises(PhiError, match="phi"):
                    call(phi)
            for count in {2, network.levels - 1, network.levels + 1} - {0, 1, network.levels}:
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

    def test_fold_outlives_training(self) -> None:
        spatial_dims = self.dimensions[0]
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

    def test_two_threads_two_factors(self) -> None:
        spatial_dims = self.dimensions[0]
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

    def test_gradient_is_finite_at_the_extremes(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims).train()
        for phi, sizes in itertools.product((0, 0.05, 1), ((1,) * spatial_dims, ODD[spatial_dims])):
            net.zero_grad()
            x = self.images(sizes).requires_grad_()
            joined(net(x, phi=phi)).square().sum().backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters()), (phi, sizes)
            assert x.grad is not None and x.grad.abs().sum() > 0, (phi, sizes)

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
        assert y.dtype == self.half_output
        assert relative_error(y, exact) < 0.05
        torch.testing.assert_close(folded, y, atol=0.02, rtol=0.02)
        y.float().square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.dtype == torch.float32

    def test_bfloat16(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        half = copy_of(net, "deepcopy").bfloat16()
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            for phi in (0, 0.5):
                y = joined(half(x.bfloat16(), phi=phi))
                folded = joined(self.folded(half, phi)(x.bfloat16()))
                torch.testing.assert_close(folded, y, atol=0.02, rtol=0.02)
                assert y.dtype == self.half_output
                assert relative_error(y, joined(net(x, phi=phi))) < 0.1

    # --- copies and files

    def test_copies(self) -> None:
        spatial_dims = self.dimensions[0]
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            expected = net(x, phi=0.3)
            copies = [copy_of(net, how) for how in ("deepcopy", "pickle", "torch.save")]
            for copied in copies:
                assert_shares_nothing(copied, net)
                assert_same(self.folded(copied, 0.3)(x), expected, 1e-5)
            for parameter in net.parameters():
                parameter.zero_()
            for copied in copies:
                assert_same(copied(x, phi=0.3), expected, 0)

    def test_state_dict(self, tmp_path: Any) -> None:
        spatial_dims = self.dimensions[0]
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
        assert "generated" in repr(net) and "generated" not in repr(plain)

    # --- export

    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_torchscript(self, spatial_dims: int, phi: float) -> None:
        plain = self.folded(self.hypernetwork(spatial_dims), phi)
        stream = io.BytesIO()
        torch.jit.save(torch.jit.script(plain), stream)
        stream.seek(0)
        scripted = torch.jit.load(stream)
        with torch.no_grad():
            for sizes in ((1,) * spatial_dims, (16,) * spatial_dims, ODD[spatial_dims]):
                x = self.images(sizes, batch=2)
                assert_same(scripted(x), plain(x), 1e-4)

    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    def test_export(self, spatial_dims: int, phi: float, exporter: str, tmp_path: Any) -> None:
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

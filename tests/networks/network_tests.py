"""The tests that every φ-network passes: inherit :class:`PhiNetworkTests` and say how to build the network."""

from __future__ import annotations

import copy
import io
import math
import pickle
import sys
from concurrent.futures import ThreadPoolExecutor
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn as nn

from monai_hyperscale.errors import PhiError
from monai_hyperscale.hypernet import HyperNetwork, MLPGenerator
from tests.networks.references import assert_plain, assert_shares_nothing

PHIS = (0.0, 0.05, 0.25, 0.5, 0.77, 1.0)
SIZES: dict[int, list[tuple[int, ...]]] = {
    2: [(1, 1), (7, 7), (31, 31), (32, 32), (48, 33), (1, 17)],
    3: [(1, 1, 1), (7, 7, 7), (31, 31, 31), (32, 32, 32), (48, 33, 17), (11, 1, 2)],
}
ODD: dict[int, tuple[int, ...]] = {2: (23, 18), 3: (13, 10, 9)}
BAD_PHIS: list[Any] = [-0.01, 1.01, math.nan, math.inf, "0.5", "", True, None, [], [0.5, 2.0], 1j, {"phi": 0.5}]

both_dimensions = pytest.mark.parametrize("spatial_dims", [2, 3])


class PhiNetworkTests:
    """What holds for every φ-network, in 2D and 3D.

    A subclass is named ``Test…`` and implements :meth:`network`; it may change the class attributes.
    """

    in_channels = 2
    #: Of every network the base may ask for; gradients reach all weights at this size and φ = 0.5.
    gradient_size: dict[int, tuple[int, ...]] = {2: (48, 48), 3: (32, 32, 32)}

    def network(self, spatial_dims: int) -> nn.Module:
        """Return a small φ-network with ``in_channels`` input channels and no dropout."""
        raise NotImplementedError

    def hypernetwork(self, spatial_dims: int) -> HyperNetwork:
        # Heads as large as the weights themselves: what depends on φ is then plain to see.
        return HyperNetwork(self.network(spatial_dims), MLPGenerator(hidden=(10, 8), head_scale=1.0)).eval()

    def images(self, sizes: tuple[int, ...], batch: int = 1) -> torch.Tensor:
        return torch.randn(batch, self.in_channels, *sizes)

    # --- values and shapes

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.05, 0.5, 1])
    def test_any_size_comes_back(self, spatial_dims: int, phi: float) -> None:
        network = self.network(spatial_dims).eval()
        channels = set()
        with torch.no_grad():
            for sizes in SIZES[spatial_dims]:
                y = network(self.images(sizes, batch=2), phi=phi)
                assert y.shape[0] == 2 and y.shape[2:] == sizes
                assert y.isfinite().all()
                channels.add(y.shape[1])
        assert len(channels) == 1

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.3, 1])
    def test_batch_equals_loop(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims)
        for sizes in (ODD[spatial_dims], (1,) * spatial_dims):
            x = self.images(sizes, batch=3)
            with torch.no_grad():
                together = net(x, phi=phi)
                alone = torch.cat([net(x[i : i + 1], phi=phi) for i in range(3)])
            torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-5)

    @both_dimensions
    def test_phi_changes_the_result(self, spatial_dims: int) -> None:
        network = self.network(spatial_dims).eval()
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            results = [network(x, phi=phi) for phi in (0.1, 0.4, 0.9)]
        assert (results[0] - results[1]).abs().max() > 1e-3
        assert (results[1] - results[2]).abs().max() > 1e-3

    @both_dimensions
    def test_a_factor_per_level(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        network: Any = net.primary
        x = self.images(ODD[spatial_dims])
        plain: Any = self.network(spatial_dims).eval()
        with torch.no_grad():
            one = plain(x, phi=0.4)
            torch.testing.assert_close(plain(x, phi=[0.4] * network.levels), one, atol=0, rtol=0)
            torch.testing.assert_close(plain(x, phi=torch.full((network.levels,), 0.4)), one, atol=0, rtol=0)
            varied = [0.8 - 0.1 * level for level in range(network.levels)]
            torch.testing.assert_close(plain.fold(varied).eval()(x), plain(x, phi=varied), atol=1e-5, rtol=1e-5)
            assert (plain(x, phi=varied) - one).abs().max() > 1e-3

    @both_dimensions
    @pytest.mark.parametrize("phi", BAD_PHIS, ids=repr)
    def test_bad_phi(self, spatial_dims: int, phi: Any) -> None:
        x = self.images((4,) * spatial_dims)
        network: Any = self.network(spatial_dims)
        for call in (lambda: network(x, phi=phi), lambda: network.fold(phi)):
            with pytest.raises(PhiError, match="phi"):
                call()
        net = self.hypernetwork(spatial_dims)
        for call in (lambda: net(x, phi=phi), lambda: net.fold(phi)):
            with pytest.raises(PhiError, match="phi"):
                call()

    @both_dimensions
    def test_wrong_number_of_factors(self, spatial_dims: int) -> None:
        x = self.images((4,) * spatial_dims)
        network: Any = self.network(spatial_dims)
        for count in {2, network.levels - 1, network.levels + 1} - {1, network.levels}:
            with pytest.raises(PhiError, match=str(network.levels)):
                network(x, phi=[0.5] * count)
            with pytest.raises(PhiError, match=str(network.levels)):
                network.fold([0.5] * count)

    # --- hypernetwork and fold

    @both_dimensions
    @pytest.mark.parametrize("phi", PHIS)
    def test_hypernetwork_equals_fold(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims)
        plain = net.fold(phi)
        with torch.no_grad():
            for sizes in SIZES[spatial_dims]:
                x = self.images(sizes)
                torch.testing.assert_close(plain(x), net(x, phi=phi), atol=1e-5, rtol=0)

    @both_dimensions
    def test_fold_knows_nothing_of_the_hypernetwork(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        net(self.images(ODD[spatial_dims]), phi=0.4).sum().backward()
        plain = net.fold(0.4)
        assert_shares_nothing(plain, net)
        assert_plain(plain)
        # One parameter for each that the primary network had, and none of the generator's.
        network = self.network(spatial_dims)
        assert sum(p.numel() for p in plain.parameters()) == sum(p.numel() for p in network.parameters())
        assert sum(b.numel() for b in plain.buffers()) == sum(b.numel() for b in network.buffers())

    @both_dimensions
    def test_fold_outlives_training(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        plain = net.fold(0.4)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            folded, generated = plain(x), net(x, phi=0.4)
            for parameter in net.parameters():
                parameter.add_(0.1)
            torch.testing.assert_close(plain(x), folded, atol=0, rtol=0)
            assert (net(x, phi=0.4) - generated).abs().max() > 1e-3
            changed = net(x, phi=0.4)
            for parameter in plain.parameters():
                parameter.zero_()
            torch.testing.assert_close(net(x, phi=0.4), changed, atol=0, rtol=0)

    @both_dimensions
    def test_fold_of_the_network_alone(self, spatial_dims: int) -> None:
        network: Any = self.network(spatial_dims).eval()
        x = self.images(ODD[spatial_dims])
        for phi in (0, 0.3, 1):
            plain = network.fold(phi)
            torch.testing.assert_close(plain(x), network(x, phi=phi), atol=1e-5, rtol=0)
            assert_shares_nothing(plain, network)

    @both_dimensions
    def test_two_threads_two_factors(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images((9,) * spatial_dims)
        assert_threads_agree(lambda phi: net(x, phi=phi), [0.2, 0.9], rounds=15)

    # --- training

    @both_dimensions
    def test_gradient_reaches_everything(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims).train()
        y = net(self.images(self.gradient_size[spatial_dims]), phi=0.5)
        (y * torch.randn_like(y)).sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.isfinite().all(), name
            assert (parameter.grad != 0).all(), f"{name}: {int((parameter.grad == 0).sum())} weights without gradient"

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.05, 1])
    def test_gradient_is_finite_at_the_extremes(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims).train()
        for sizes in ((1,) * spatial_dims, ODD[spatial_dims]):
            net.zero_grad()
            x = self.images(sizes).requires_grad_()
            net(x, phi=phi).square().sum().backward()
            assert all(p.grad is not None and p.grad.isfinite().all() for p in net.parameters())
            assert x.grad is not None and x.grad.abs().sum() > 0

    @both_dimensions
    def test_train_and_eval(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            expected = net.eval()(x, phi=0.3)
            net.train()
            plain = net.fold(0.3)
            assert all(module.training for module in net.modules())
            assert not any(module.training for module in plain.modules())
            torch.testing.assert_close(plain(x), expected, atol=1e-5, rtol=0)
            torch.testing.assert_close(net(x, phi=0.3), expected, atol=0, rtol=0)

    @both_dimensions
    def test_autocast(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        exact = net(x, phi=0.3)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            y = net(x, phi=0.3)
            folded = net.fold(0.3)(x)
        assert y.dtype == torch.bfloat16
        assert relative_error(y, exact) < 0.05
        torch.testing.assert_close(folded, y, atol=0.02, rtol=0.02)
        y.float().square().sum().backward()
        for name, parameter in net.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), name
            assert parameter.grad.dtype == torch.float32

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.5])
    def test_bfloat16(self, spatial_dims: int, phi: float) -> None:
        net = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            exact = net(x, phi=phi)
            net.bfloat16()
            y = net(x.bfloat16(), phi=phi)
            torch.testing.assert_close(net.fold(phi)(x.bfloat16()), y, atol=0.02, rtol=0.02)
        assert y.dtype == torch.bfloat16
        assert relative_error(y, exact) < 0.1

    # --- copies and files

    @both_dimensions
    @pytest.mark.parametrize("how", ["deepcopy", "pickle", "torch.save"])
    def test_copies(self, spatial_dims: int, how: str) -> None:
        net = self.hypernetwork(spatial_dims)
        copied = copy_of(net, how)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            expected = net(x, phi=0.3)
            torch.testing.assert_close(copied(x, phi=0.3), expected, atol=0, rtol=0)
            torch.testing.assert_close(copied.fold(0.3)(x), expected, atol=1e-5, rtol=0)
            assert_shares_nothing(copied, net)
            for parameter in net.parameters():
                parameter.zero_()
            torch.testing.assert_close(copied(x, phi=0.3), expected, atol=0, rtol=0)

    @both_dimensions
    def test_state_dict(self, spatial_dims: int, tmp_path: Any) -> None:
        net = self.hypernetwork(spatial_dims)
        torch.manual_seed(1)
        other = self.hypernetwork(spatial_dims)
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            assert (other(x, phi=0.3) - net(x, phi=0.3)).abs().max() > 1e-3
            torch.save(net.state_dict(), tmp_path / "model.pt")
            other.load_state_dict(torch.load(tmp_path / "model.pt", weights_only=True))
            torch.testing.assert_close(other(x, phi=0.3), net(x, phi=0.3), atol=0, rtol=0)
            # A folded network has the keys of its other folds, so their weights can be exchanged.
            plain, target = net.fold(0.3), net.fold(0.3)
            for parameter in target.parameters():
                parameter.zero_()
            target.load_state_dict(plain.state_dict())
            torch.testing.assert_close(target(x), plain(x), atol=0, rtol=0)

    @both_dimensions
    def test_prints(self, spatial_dims: int) -> None:
        net = self.hypernetwork(spatial_dims)
        assert "generated" in repr(net)
        assert "generated" not in repr(net.fold(0.25))

    # --- export

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.3, 1])
    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    def test_torchscript(self, spatial_dims: int, phi: float) -> None:
        plain = self.hypernetwork(spatial_dims).fold(phi)
        stream = io.BytesIO()
        torch.jit.save(torch.jit.script(plain), stream)
        stream.seek(0)
        scripted = torch.jit.load(stream)
        with torch.no_grad():
            for sizes in ((1,) * spatial_dims, ODD[spatial_dims], (16,) * spatial_dims):
                x = self.images(sizes, batch=2)
                torch.testing.assert_close(scripted(x), plain(x), atol=1e-4, rtol=0)

    @both_dimensions
    @pytest.mark.parametrize("phi", [0, 0.3])
    @pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")  # a trace is for one size of image
    def test_trace(self, spatial_dims: int, phi: float) -> None:
        plain = self.hypernetwork(spatial_dims).fold(phi)
        traced = torch.jit.trace(plain, self.images(ODD[spatial_dims]))
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            torch.testing.assert_close(traced(x), plain(x), atol=1e-4, rtol=0)

    @both_dimensions
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")  # of torch's own code
    def test_torch_export(self, spatial_dims: int) -> None:
        plain = self.hypernetwork(spatial_dims).fold(0.3)
        exported = torch.export.export(plain, (self.images(ODD[spatial_dims]),)).module()
        x = self.images(ODD[spatial_dims])
        with torch.no_grad():
            torch.testing.assert_close(exported(x), plain(x), atol=1e-4, rtol=0)

    @both_dimensions
    @pytest.mark.parametrize("exporter", ["torch.export", "torchscript"])
    @pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
    @pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
    def test_onnx(self, spatial_dims: int, exporter: str, tmp_path: Any) -> None:
        pytest.importorskip("onnx", reason="needs the export extra")
        onnxruntime = pytest.importorskip("onnxruntime", reason="needs the export extra")
        modern = exporter == "torch.export"
        if modern:
            pytest.importorskip("onnxscript", reason="needs the export extra")
        plain = self.hypernetwork(spatial_dims).fold(0.3)
        path = tmp_path / "model.onnx"
        torch.onnx.export(
            plain, (self.images(ODD[spatial_dims]),), str(path), input_names=["x"], dynamo=modern, verbose=False
        )
        session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        x = self.images(ODD[spatial_dims])
        (y,) = session.run(None, {"x": x.numpy()})
        with torch.no_grad():
            np.testing.assert_allclose(y, plain(x).numpy(), atol=1e-4, rtol=0)


def relative_error(value: torch.Tensor, exact: torch.Tensor) -> float:
    """Return the Euclidean norm of the difference over that of ``exact``."""
    return float((value.float() - exact).detach().norm() / exact.detach().norm())


def copy_of(module: Any, how: str) -> Any:
    """Return a copy made by ``deepcopy``, ``pickle`` or ``torch.save``."""
    if how == "deepcopy":
        return copy.deepcopy(module)
    if how == "pickle":
        return pickle.loads(pickle.dumps(module))
    stream = io.BytesIO()
    torch.save(module, stream)
    stream.seek(0)
    return torch.load(stream, weights_only=False)


def assert_threads_agree(call: Any, phis: list[float], rounds: int) -> None:
    """Check that ``call(phi)`` in one thread per φ, many times over, gives what it gives when called alone."""
    with torch.no_grad():
        alone = {phi: call(phi) for phi in phis}
    for phi, other in pairwise(phis):
        assert (alone[phi] - alone[other]).abs().max() > 1e-2  # else a mix-up would not show

    def work(phi: float) -> float:
        with torch.no_grad():
            return max(float((call(phi) - alone[phi]).abs().max()) for _ in range(rounds))

    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-5)
    try:
        with ThreadPoolExecutor(len(phis)) as pool:
            errors = list(pool.map(work, phis))
    finally:
        sys.setswitchinterval(interval)
    assert max(errors) < 1e-5, errors

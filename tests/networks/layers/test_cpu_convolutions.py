"""Convolutions on a CPU under CPUConvolutions, against torch's own in double precision."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
import torch.nn as nn
from torch.overrides import TorchFunctionMode

from monai_hyperscale.networks.layers import CPUConvolutions
from monai_hyperscale.search import count_flops

onednn = pytest.mark.skipif(not torch.backends.mkldnn.is_available(), reason="this build of torch has no oneDNN")


@pytest.mark.parametrize("last", [False, True], ids=["contiguous", "channels last"])
@pytest.mark.parametrize(
    ("sizes", "kernel", "options"),
    [
        ((1, 1, 1), 3, {"padding": 1}),
        ((5, 7, 3), 3, {"padding": 1}),
        ((12, 16, 12), 3, {"padding": 1}),
        ((5, 7, 3), 1, {}),
        ((7, 6, 5), 3, {"stride": 2, "padding": (1, 0, 1), "bias": False}),
        ((7, 6, 5), 3, {"padding": 2, "dilation": 2, "groups": 2}),
        ((5, 7, 3), 3, {"padding": "same"}),
        ((5, 7, 3), 3, {"padding": 1, "padding_mode": "replicate"}),
    ],
)
@pytest.mark.parametrize("batch", [1, 2])
def test_inference_agrees_with_double_precision(
    sizes: tuple[int, ...], kernel: int, options: dict[str, Any], batch: int, last: bool
) -> None:
    x = torch.randn(batch, 8, *sizes)
    if last:
        x = x.contiguous(memory_format=torch.channels_last_3d)
    conv = nn.Conv3d(8, 6, kernel, **options)
    with torch.inference_mode():
        with CPUConvolutions():
            y = conv(x)
        torch.testing.assert_close(y.double(), conv.double()(x.double()), rtol=1e-5, atol=1e-5)


class Called(TorchFunctionMode):
    """Names of the functions that reach torch, and the types of what ``conv3d`` is given."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.types: list[torch.dtype] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.names.append(func.__name__)
        if func is torch.conv3d:
            self.types.append(args[0].dtype)
        return func(*args, **(kwargs or {}))


def functions(x: torch.Tensor, kernel: int, transposed: bool = False) -> set[str]:
    conv: Any = nn.ConvTranspose3d if transposed else nn.Conv3d
    module = conv(x.shape[1], 2, kernel).to(x.dtype)
    with Called() as called, CPUConvolutions():
        module(x)
    return {name for name in called.names if "conv" in name}


@onednn
def test_onednn_only_where_it_is_faster() -> None:
    x = torch.rand(1, 2, 4, 4, 4)
    with torch.no_grad():
        assert functions(x, 3) == {"mkldnn_convolution"}
        assert functions(x, 1) == {"conv3d"}
        assert functions(x.contiguous(memory_format=torch.channels_last_3d), 1) == {"mkldnn_convolution"}
        assert functions(x.double(), 3) == {"conv3d"}
        assert functions(x, 3, transposed=True) == {"conv_transpose3d"}
    assert functions(x, 3) == {"conv3d"}


@onednn
def test_flops_are_counted_whoever_convolves() -> None:
    conv, x = nn.Conv3d(2, 4, 3, padding=1), torch.rand(1, 2, 5, 6, 7)
    plain = count_flops(conv, x)
    with CPUConvolutions():
        assert count_flops(conv, x) == plain == 2 * 4 * 2 * 27 * 5 * 6 * 7


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize(
    ("sizes", "kernel", "stride"),
    [((2, 4, 4), 3, 1), ((3, 4, 5), 5, 1), ((6, 1, 3), 3, 2), ((1, 4, 4), 3, 1), ((6, 4, 4), 3, 1)],
)
def test_gradients_of_weights_in_bfloat16(sizes: tuple[int, ...], kernel: int, stride: int, transposed: bool) -> None:
    torch.manual_seed(0)
    layer: Any = nn.ConvTranspose3d if transposed else nn.Conv3d
    conv = layer(16, 16, kernel, stride, padding=kernel // 2)
    exact = copy.deepcopy(conv).double()
    x = torch.randn(1, 16, *sizes)
    expected = exact(x.double())
    slope = torch.randn(expected.shape)
    expected.backward(slope.double())
    for _ in range(3):
        rubbish = [torch.full((n,), 1e30) for n in (100, 1000, 5000, 20000, 100000)]
        del rubbish  # what is allocated next holds it
        conv.zero_grad()
        with torch.autocast("cpu", torch.bfloat16), CPUConvolutions():
            y = conv(x)
        assert y.dtype == torch.bfloat16
        y.backward(slope.bfloat16())
        scale = exact.weight.grad.abs().max().item()
        torch.testing.assert_close(conv.weight.grad.double(), exact.weight.grad, rtol=0.05, atol=0.05 * scale)


def test_half_precision_stays_where_it_is_right() -> None:
    conv = nn.Conv3d(2, 2, 3, padding=1).bfloat16()
    small, large = torch.rand(1, 2, 3, 4, 4).bfloat16(), torch.rand(1, 2, 4, 4, 4).bfloat16()
    with Called() as called, CPUConvolutions():
        assert conv(small).dtype == conv(large).dtype == torch.bfloat16
        with torch.no_grad():
            conv(small)
    assert called.types == [torch.float32, torch.bfloat16, torch.bfloat16]

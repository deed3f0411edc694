"""Programs of folded networks that work for images of any size, for ``torch.export`` and for ONNX after it.

A network computes the sizes of its maps from that of the image. In Python these are numbers, and a recorded program
would have them for one image; here they are recorded themselves, as whole-number arithmetic that both formats hold.
"""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest.mock import patch

import torch
import torch.nn as nn
import torch.nn.functional as F
from torch.export import Dim, ExportedProgram
from torch.fx.experimental import _config
from torch.fx.experimental.symbolic_shapes import statically_known_true

from monai_hyperscale.networks.conversion import layers as converted_layers
from monai_hyperscale.networks.layers import patches, resize
from monai_hyperscale.networks.layers.norm import GuardedGroupNorm
from monai_hyperscale.registration import fields as registration_fields
from monai_hyperscale.registration import network as registration_network

# φ·n in units of 2**-40, which leaves room in 64 bits for axes of 16 million voxels.
_UNIT = 1 << 40
# Sizes for which whole-number arithmetic is compared with that of the networks.
_COMPARED = 4096

_scaled_sizes = resize._scaled_sizes
_LOCK = threading.RLock()


def exported_program(
    plain: nn.Module, example: torch.Tensor, dynamic: bool, precise_norms: bool = False
) -> ExportedProgram:
    """Record a folded network; an Exception, of any class, where torch cannot record it so.

    Args:
        plain: the folded network.
        example: input (B, C, *sizes), at least two images where ``dynamic``.
        dynamic: for any batch and sizes, rather than those of the example.
        precise_norms: spell group norms out as means over one axis after the other. ONNX Runtime sums a whole group in
            one go in float32, which for volumes costs four digits.

    Example:
        >>> from monai_hyperscale.hypernet import HyperNetwork
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> plain = HyperNetwork(ScaleSpaceUNet(2, in_channels=1, out_channels=2, features=(4, 4))).fold(0.3)
        >>> x = torch.rand(1, 1, 16, 20)
        >>> torch.allclose(exported_program(plain, x, dynamic=False).module()(x), plain(x), atol=1e-5)
        True
    """
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        if not dynamic:
            with _replaced([(GuardedGroupNorm, "forward", _group_norm)] if precise_norms else []):
                return torch.export.export(plain, (example,))
        free = {axis: Dim.DYNAMIC for axis in range(example.dim()) if axis != 1}
        with symbolic_sizes(precise_norms), size_oblivious():
            program = torch.export.export(
                plain, (example,), dynamic_shapes=(free,), prefer_deferred_runtime_asserts_over_guards=True
            )
        # Without the checks that maps have several voxels, which torch adds for a memory layout that nothing needs.
        graph = program.graph_module.graph
        for node in list(graph.nodes):
            if node.op == "call_function" and node.target is torch.ops.aten._assert_scalar.default:
                graph.erase_node(node)
        graph.eliminate_dead_code()
        program.graph_module.recompile()
        return program


def size_oblivious() -> Any:
    """Return a context in which maps of one voxel, as a small φ makes, are recorded like any others."""
    # The module is a class of its own, which mypy does not know.
    config: Any = _config
    return config.patch(backed_size_oblivious=True)


@contextmanager
def symbolic_sizes(precise_norms: bool = False) -> Iterator[None]:
    """Let the networks of this package compute sizes so that ``torch.export`` can record it, inside the block."""
    functions: list[tuple[Any, str, Callable[..., Any]]] = [
        (resize, "_scaled_sizes", _whole_number_sizes),
        (resize, "_interpolate", _interpolate),
        (converted_layers, "_scaled_sizes", _whole_number_sizes),
        (converted_layers, "_interpolate", _interpolate),
        (patches, "to_patches", _to_patches),
        (registration_fields, "warp", _warp),
        (registration_network, "warp", _warp),
        (registration_network, "resize_field", _resize_field),
        (GuardedGroupNorm, "forward", _group_norm if precise_norms else _some_group_norms),
    ]
    with _replaced(functions):
        yield


@contextmanager
def _replaced(functions: Sequence[tuple[Any, str, Callable[..., Any]]]) -> Iterator[None]:
    with _LOCK, ExitStack() as stack:
        for replacement in functions:
            stack.enter_context(patch.object(*replacement))
        yield


def _some_group_norms(norm: GuardedGroupNorm, x: torch.Tensor) -> torch.Tensor:
    # Only a group of one channel can come down to a single value, which the layer treats apart.
    if norm.num_groups == norm.num_channels:
        return _group_norm(norm, x)
    return F.group_norm(x, norm.num_groups, norm.weight, norm.bias, norm.eps)


def _group_norm(norm: GuardedGroupNorm, x: torch.Tensor) -> torch.Tensor:
    channels = norm.num_channels // norm.num_groups
    values: Any = channels
    for n in x.shape[2:]:
        values = values * n
    # 1, or 0 for a group of a single value: that is passed through.
    several = torch.sym_min(values - 1, 1)

    def mean(groups: torch.Tensor) -> torch.Tensor:
        for axis in range(groups.dim() - 1, 1, -1):
            groups = groups.mean(axis, keepdim=True)
        return groups

    # Flattening has cheaper symbols than a shape.
    groups = x.unflatten(1, (norm.num_groups, channels))
    groups = groups - mean(groups) * several
    groups = groups * (torch.rsqrt(mean(groups * groups) + norm.eps) * several + (1 - several))
    y = groups.flatten(1, 2)
    if norm.weight is None or norm.bias is None:
        return y
    shape = [1, -1] + [1] * (x.dim() - 2)
    return y * norm.weight.reshape(shape) + norm.bias.reshape(shape)


def _whole_number_sizes(sizes: Sequence[Any], factor: float, rounding: str) -> list[Any]:
    if factor == 1.0:
        return list(sizes)
    # The networks' slack of 5e-8 n, in the same direction.
    units = round((factor + (-5e-8 if rounding == "ceil" else 5e-8)) * _UNIT)
    added = {"ceil": _UNIT - 1, "floor": 0, "nearest": _UNIT >> 1}[rounding]
    some = list(range(1, _COMPARED + 1))
    if [max(1, (units * n + added) // _UNIT) for n in some] != _scaled_sizes(some, factor, rounding):
        raise ValueError(f"sizes at phi {factor!r} are not those of whole-number arithmetic.")
    return [torch.sym_max(1, (units * n + added) // _UNIT) for n in sizes]


def _interpolate(x: torch.Tensor, size: Sequence[Any], mode: str) -> torch.Tensor:
    if all(statically_known_true(a == b) for a, b in zip(x.shape[2:], size, strict=True)):
        return x
    corners = {} if mode == "nearest-exact" else {"align_corners": False}
    return F.interpolate(x, size=list(size), mode=mode, **corners)


def _to_patches(x: torch.Tensor, patch_size: int) -> torch.Tensor:
    axes = x.dim() - 2
    filled = [(n + patch_size - 1) // patch_size for n in x.shape[2:]]
    pads: list[Any] = []
    for n, whole in zip(x.shape[2:], filled, strict=True):
        pads = [0, whole * patch_size - n, *pads]
    x = F.pad(x, pads, mode="replicate")
    split: list[Any] = [x.shape[0], x.shape[1]]
    for n in filled:
        split += [n, patch_size]
    order = [0, 1, *(3 + 2 * axis for axis in range(axes)), *(2 + 2 * axis for axis in range(axes))]
    return x.reshape(split).permute(order).reshape([x.shape[0], x.shape[1] * patch_size**axes, *filled])


def _warp(image: torch.Tensor, field: torch.Tensor, mode: str = "linear", padding: str = "border") -> torch.Tensor:
    # Without the padding to powers of two, whose size no formula gives; coordinates are off by a rounding for it.
    axes = image.dim() - 2
    coordinates = []
    for axis in range(axes):
        n = image.shape[2 + axis]
        shape = [1] * axes
        shape[axis] = n
        centres = (2 * torch.arange(n, device=field.device, dtype=field.dtype) + 1) / n - 1
        coordinates.append(centres.reshape(shape) + field[:, axis] * (2.0 / n))
    method = "nearest" if mode == "nearest" else "bilinear"
    return F.grid_sample(image, torch.stack(coordinates[::-1], dim=-1), method, padding, align_corners=False)


def _resize_field(field: torch.Tensor, sizes: Sequence[Any]) -> torch.Tensor:
    old = field.shape[2:]
    if all(statically_known_true(a == b) for a, b in zip(old, sizes, strict=True)):
        return field
    resized = F.interpolate(
        field, size=list(sizes), mode="bilinear" if len(old) == 2 else "trilinear", align_corners=False
    )
    scaled = [resized[:, axis : axis + 1] * (n / old[axis]) for axis, n in enumerate(sizes)]
    return torch.cat(scaled, dim=1)

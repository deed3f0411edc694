"""The files that a folded network can be written as: how each is written, and read back as a function."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Union

import torch
import torch.nn as nn

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings
from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.source import FoldSource
from monai_hyperscale.export.symbolic import exported_program, size_oblivious
from monai_hyperscale.export.verify import quiet

#: Least ONNX operator set that samples volumes at arbitrary points, as registration does.
OPSET = 20

Run = Callable[[torch.Tensor], torch.Tensor]


@dataclass(frozen=True)
class Format:
    """A kind of file, at ``path`` of the fold; where it cannot be for any size, a ``fixed`` one will do.

    ``write`` writes a folded network, for the example's size alone unless ``dynamic``, and returns its function.
    """

    name: str
    title: str
    path: str
    write: Callable[[FoldSource, Path, torch.Tensor, bool], Run]
    packages: tuple[str, ...] = ()
    fixed: bool = True


def missing_packages(form: Format) -> list[str]:
    """Return the packages a format needs that are not installed."""
    return [name for name in form.packages if find_spec(name) is None]


def _torchscript(source: FoldSource, path: Path, example: torch.Tensor, dynamic: bool) -> Run:
    with quiet():
        torch.jit.save(torch.jit.script(source.plain), str(path))
        loaded: nn.Module = torch.jit.load(str(path), map_location="cpu")
    return loaded


def _torch_export(source: FoldSource, path: Path, example: torch.Tensor, dynamic: bool) -> Run:
    with quiet():
        torch.export.save(exported_program(source.plain, example, dynamic), path)
        return torch.export.load(path).module()


def _onnx(source: FoldSource, path: Path, example: torch.Tensor, dynamic: bool) -> Run:
    import onnxruntime

    axes = ("x", "y", "z")[: example.dim() - 2]
    free = {0: "batch", **{2 + index: name for index, name in enumerate(axes)}}
    # The exporter records the program once more.
    with quiet(), size_oblivious():
        torch.onnx.export(
            exported_program(source.plain, example, dynamic, precise_norms=True),
            (example,),
            str(path),
            input_names=["image"],
            output_names=["pred"],
            dynamic_shapes=(free,) if dynamic else None,
            opset_version=OPSET,
            dynamo=True,
            external_data=False,
            verbose=False,
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    options.log_severity_level = 4
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def run(x: torch.Tensor) -> torch.Tensor:
        return torch.from_numpy(session.run(None, {"image": x.numpy()})[0])

    return run


def _safetensors(source: FoldSource, path: Path, example: torch.Tensor, dynamic: bool) -> Run:
    from safetensors.torch import save_file

    described = {"format": 1, "task": source.settings.task, **asdict(source.settings)}
    # The values of such a header are strings.
    header = {"format": "pt", "model": json.dumps(described), "context": json.dumps(dict(source.context))}
    save_file({name: value.contiguous() for name, value in source.plain.state_dict().items()}, str(path), header)
    return load_folded(path)


def load_folded(path: Union[str, Path]) -> nn.Module:
    """Rebuild a folded network from the ``model.safetensors`` that ``fold`` wrote: on the CPU, without gradients.

    Example:
        >>> load_folded("model.safetensors")
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.ExportError: no folded network at model.safetensors; name the file that fold wrote.
    """
    path = Path(path)
    if not path.is_file():
        raise ExportError(f"no folded network at {path}; name the file that fold wrote.")
    try:
        from safetensors import SafetensorError, safe_open
    except ModuleNotFoundError as error:
        raise ExportError("safetensors is not installed: pip install 'monai-hyperscale[export]'.") from error
    try:
        with safe_open(str(path), framework="pt") as file:
            header = file.metadata() or {}
            state = {name: file.get_tensor(name) for name in file.keys()}
        with tempfile.TemporaryDirectory() as folder:
            described = Path(folder) / "model.json"
            described.write_text(header["model"], encoding="utf-8")
            settings = read_settings(described, NetworkSettings)
        plain = build_network(settings).fold(**json.loads(header["context"]))
        plain.load_state_dict(state)
    except (SafetensorError, OSError, LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise ExportError(f"{path} is damaged or was not written by fold ({first_line(error)}).") from error
    return plain.eval().requires_grad_(False)


#: All formats by name, in the order they are made.
FORMATS: dict[str, Format] = {
    form.name: form
    for form in (
        Format("torchscript", "TorchScript", "models/model.ts", _torchscript, fixed=False),
        Format("torch-export", "torch.export", "models/model.pt2", _torch_export),
        Format("onnx", "ONNX", "models/model.onnx", _onnx, ("onnx", "onnxscript", "onnxruntime")),
        Format("safetensors", "safetensors", "models/model.safetensors", _safetensors, ("safetensors",), fixed=False),
    )
}

"""Types of options: each says what a value must be, in the words of its sentence."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Union

import torch
from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer, ValidationError, WrapValidator

from monai_hyperscale.bundle.methods import method_name
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.io.files import sha256
from monai_hyperscale.networks.layers.factor import as_factors, check_factor


def must_be(words: str) -> WrapValidator:
    """Return what makes one sentence of whatever a type refuses: what a value must be, in these words."""

    def check(value: Any, handler: Callable[[Any], Any]) -> Any:
        try:
            return handler(value)
        except ValidationError:
            raise ConfigError(f"must be {words}, got {value!r}.") from None

    return WrapValidator(check)


def number(least: float, greatest: float, above: bool = False) -> BeforeValidator:
    """Return what refuses all but numbers from ``least``, or ``above`` it, up to ``greatest``."""
    words = f"a number above {least:g} and up to {greatest:g}" if above else f"a number from {least:g} to {greatest:g}"

    def check(value: Any) -> float:
        is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if not is_number or not least <= value <= greatest or (above and value == least):
            raise ConfigError(f"must be {words}, got {value!r}.")
        return float(value)

    return BeforeValidator(check)


def _one_or_per_level(value: Any) -> Union[float, tuple[float, ...]]:
    return as_factors(value) if isinstance(value, (list, tuple)) else check_factor(value)


def _phis(value: Any) -> Any:
    if not isinstance(value, (list, tuple)):
        return check_factor(value)
    if not value:
        raise ConfigError("must name at least one factor, got an empty list.")
    return tuple(map(_one_or_per_level, value))


def _in_order(value: tuple[float, float]) -> tuple[float, float]:
    if value[0] > value[1]:
        raise ValueError("the least comes first")
    return value


def _method(value: Any) -> dict[str, Any]:
    if not isinstance(value, (str, Mapping)):
        raise ConfigError(f"must be a name or a dictionary of it and its arguments, got {value!r}.")
    return {"name": method_name(value), **({} if isinstance(value, str) else value)}


def _device(value: Any) -> str:
    try:
        kind = torch.device(value)
    except (RuntimeError, TypeError):
        raise ConfigError(f"must be one such as cpu, cuda or cuda:0, got {value!r}.") from None
    if kind.type == "cuda" and (kind.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise ConfigError(f"must be on this machine, which has {count} CUDA devices, got {value}; use cpu.")
    return str(kind)


def _data_folder(value: Any) -> str:
    if not Path(str(value)).is_dir():
        raise DatasetError(f"must be an existing folder, got {str(value)!r}.")
    return str(value)


def _file(value: Any) -> str:
    if not Path(str(value)).is_file():
        raise DatasetError(f"must be a file, got {str(value)!r}.")
    return str(value)


def _no_bundle(value: Any) -> str:
    if not isinstance(value, (str, Path)):
        raise ConfigError(f"must be a folder, got {value!r}.")
    path = Path(value).absolute()
    below_file = next((parent for parent in (path, *path.parents) if parent.exists() and not parent.is_dir()), None)
    if below_file is not None:
        raise ConfigError(f"must be a folder, but {below_file} is a file.")
    if (path / "configs" / "train.json").exists():
        raise ConfigError(f"{value} is a bundle, whose trained weights would be replaced; name another.")
    return str(value)


def _start(value: Any) -> str:
    if not isinstance(value, (str, Path)):
        raise ConfigError(f"must be the folder of an earlier training, got {value!r}.")
    if not _weights(value).is_file():
        raise CheckpointError(f"there are no trained weights in {value}; name the folder of a training.")
    return str(value)


def _weights(source: Union[str, Path]) -> Path:
    path = Path(source)
    if path.is_file():
        return path
    return (path if (path / "model.pt").is_file() else model_folder(path)) / "model.pt"


def weights_digest(source: Any) -> Any:
    """Return what tells the weights in a folder, a file, or a list of either, wherever they lie."""
    if isinstance(source, (list, tuple)):
        return [weights_digest(each) for each in source]
    return None if source is None else sha256(_weights(source))[:16]


#: Whole numbers.
Count = Annotated[int, Field(strict=True, ge=1), must_be("a whole number of at least 1")]
Natural = Annotated[int, Field(strict=True, ge=0), must_be("a whole number of at least 0")]
Flag = Annotated[bool, Field(strict=True), must_be("True or False")]
#: A number in [0, 1].
Share = Annotated[float, number(0, 1)]
#: φ, one factor; one or one per level; or several φ.
Factor = Annotated[float, BeforeValidator(check_factor)]
Phi = Annotated[Union[float, tuple[float, ...]], BeforeValidator(_one_or_per_level)]
Phis = Annotated[Union[float, tuple[Union[float, tuple[float, ...]], ...]], BeforeValidator(_phis)]
#: Least and greatest of numbers in [0, 1].
Range = Annotated[tuple[Share, Share], AfterValidator(_in_order), must_be("[least, greatest], both from 0 to 1")]
#: Numbers above 0: three, in mm; or one per axis of the images, or one for all.
Above = Annotated[float, Field(strict=True, gt=0)]
Spacing = Annotated[tuple[Above, Above, Above], must_be("3 numbers above 0")]
Sizes = Annotated[Union[Count, tuple[Count, ...]], must_be("a whole number above 0, or one per axis")]
Arguments = Annotated[dict[str, Any], must_be("a dictionary of arguments")]
Method = Annotated[dict[str, Any], BeforeValidator(_method)]
Precision = Annotated[Literal["fp32", "bf16", "fp16"], must_be("one of fp32, bf16, fp16")]
Device = Annotated[str, BeforeValidator(_device)]
#: Folders and files: of data, to write into, and of weights to start from, which are told by their content.
DataFolder = Annotated[str, BeforeValidator(_data_folder)]
OneFile = Annotated[str, BeforeValidator(_file)]
NoBundle = Annotated[str, BeforeValidator(_no_bundle)]
Start = Annotated[str, BeforeValidator(_start), PlainSerializer(weights_digest, when_used="json")]

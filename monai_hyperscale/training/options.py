"""The options that the trainings, evaluations and inferences of all tasks share; each task adds its own."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Optional, TypeVar, Union

import torch
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    model_validator,
)
from pydantic_core import ErrorDetails

from monai_hyperscale.bundle.methods import method_generator, method_name
from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError, HyperscaleError
from monai_hyperscale.hypernet import HyperNetwork
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


def _existing(words: str, exists: Callable[[Path], bool]) -> BeforeValidator:
    def check(value: Any) -> str:
        if not exists(Path(str(value))):
            raise DatasetError(f"must be {words}, got {str(value)!r}.")
        return str(value)

    return BeforeValidator(check)


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
#: Folders and files: of data, to write into, and of weights to start from, which count by their content.
DataFolder = Annotated[str, _existing("an existing folder", Path.is_dir)]
OneFile = Annotated[str, _existing("a file", Path.is_file)]
NoBundle = Annotated[str, BeforeValidator(_no_bundle)]
Start = Annotated[str, BeforeValidator(_start), PlainSerializer(weights_digest, when_used="json")]

Kind = TypeVar("Kind", bound="Options")


class Options(BaseModel):
    """Options of a bundle; a field with ``exclude=True`` has no part in the numbers of a training."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    #: What is worked on, in words.
    data: ClassVar[str] = "a data set"

    device: Device = Field("cpu", exclude=True)
    dataset_dir: Optional[DataFolder] = Field(None, exclude=True)
    output_dir: NoBundle = Field("output", exclude=True)
    ckpt_dir: str = Field("models", exclude=True)
    precision: Precision = "fp32"

    @model_validator(mode="after")
    def _device_has_the_precision(self) -> Options:
        on_cuda = self.device.startswith("cuda")
        if self.precision == "fp16" and not on_cuda:
            raise ConfigError("precision fp16 needs a CUDA device; use bf16 or fp32.")
        if self.precision == "bf16" and on_cuda and not torch.cuda.is_bf16_supported():
            raise ConfigError("this CUDA device has no bf16; use fp16 or fp32.")
        return self


class InferenceOptions(Options):
    """What every inference is asked."""

    phi: Phi = 0.5

    def check_network(self, network: HyperNetwork) -> None:
        """Refuse, with a ConfigError, what a trained network cannot be asked."""


class TrainingOptions(Options):
    """What every training is asked."""

    seed: Natural = 0
    resume: Flag = Field(False, exclude=True)
    warm_start: Optional[Start] = None
    keep_phi: Optional[Factor] = None
    method: Method = Field(default_factory=lambda: {"name": "sshn"})
    phi: Optional[Phis] = None
    per_level: Flag = False
    rescale_input: Flag = False
    phi_range: Range = (0.0, 0.5)
    phi_exponent: Annotated[float, number(0, 100, above=True)] = 1.0
    val_phi: Optional[Phis] = None
    max_epochs: Count = Field(18, exclude=True)
    batch_size: Count = 2
    iterations_per_epoch: Optional[Count] = Field(None, exclude=True)
    val_interval: Count = Field(6, exclude=True)
    learning_rate: Annotated[float, number(0, 10, above=True)] = 0.003
    ema_momentum: Annotated[float, number(0, 0.999, above=True)] = 0.02
    num_workers: Natural = Field(1, exclude=True)
    cache_rate: Share = Field(1.0, exclude=True)
    spatial_dims: Annotated[int, Field(strict=True, ge=2, le=3), must_be("2 or 3")] = 3
    spacing: Optional[Spacing] = None
    split: Annotated[
        tuple[Above, Above, Above], must_be("three shares above 0, of training, validation and test cases")
    ] = (0.75, 0.05, 0.2)
    network: Arguments = Field(default_factory=dict)
    select: Optional[Annotated[Union[str, tuple[str, ...]], must_be("a text or a list of name patterns")]] = None
    weight_penalty: Annotated[float, number(0, 10)] = 0.0
    synthetic: Arguments = Field(default_factory=dict)

    @model_validator(mode="after")
    def _one_phi_of_fixed(self) -> TrainingOptions:
        if self.method["name"] == "fixed" and isinstance(self.phi, tuple) and not self.per_level:
            raise ConfigError(
                f"phi: method fixed trains one network for one phi, got {list(self.phi)}; name one, or one per level "
                "with --per_level True."
            )
        return self

    @model_validator(mode="after")
    def _network_to_keep(self, info: ValidationInfo) -> TrainingOptions:
        if self.keep_phi is None:
            return self
        if self.per_level and self.rescale_input:
            # One φ stands for min(1, 2φ) of the input, so no single number names that network among all levels.
            raise ConfigError("keep_phi goes with per_level or with rescale_input, not with both; leave one out.")
        method_generator(self.method, self.keep_phi)
        if self.warm_start is None and "warm_start" not in known_later(info):
            raise ConfigError("keep_phi keeps the network that warm_start names; name one, or leave keep_phi out.")
        return self

    def settings(self) -> NetworkSettings:
        """Return the settings of a network like the one to train, of images of one channel."""
        raise NotImplementedError

    def shared_settings(self) -> dict[str, Any]:
        """Return the arguments of :meth:`settings` that all tasks have."""
        return {
            "spatial_dims": self.spatial_dims,
            "channels": ("x",),
            "network": self.network,
            "generator": method_generator(self.method, self.keep_phi),
            "method": self.method["name"],
            "select": self.select,
            "per_level": self.per_level,
            "rescale_input": self.rescale_input,
        }

    def fingerprint(self, **known: Any) -> dict[str, Any]:
        """Return, for JSON, what must be the same for a resume to end in the same numbers, with what is ``known``."""
        return {**self.model_dump(mode="json"), **known}


def known_later(info: ValidationInfo) -> Collection[str]:
    """Return the options that an expression gives whose value is not known yet."""
    return (info.context or {}).get("later", ())


def options_from(kind: type[Kind], values: Mapping[str, Any], later: Collection[str] = ()) -> Kind:
    """Return checked options, of which ``later`` names those whose value is known later only.

    The first that is wrong raises a ConfigError, or what is wrong with a data set or trained weights that it names.

    Example:
        >>> options_from(TrainingOptions, {"batch_sise": 4})
        Traceback (most recent call last):
        ...
        monai_hyperscale.errors.ConfigError: unknown option --batch_sise; did you mean --batch_size?
    """
    try:
        return kind.model_validate(dict(values), context={"later": later})
    except ValidationError as error:
        raise _told(error.errors()[0], kind) from None


def _told(error: ErrorDetails, kind: type[Options]) -> HyperscaleError:
    name = str(error["loc"][0]) if error["loc"] else ""
    if error["type"] == "extra_forbidden":
        return unknown_option(name, kind.model_fields)
    cause = error.get("ctx", {}).get("error")
    if not isinstance(cause, HyperscaleError):
        return ConfigError(f"{name}: {error['msg']}, got {error['input']!r}.")
    if not name:
        return cause
    # "batch_size must be ...", "phi must be ...", "roi_size: 3 numbers ..."
    error_type = type(cause) if isinstance(cause, (CheckpointError, DatasetError)) else ConfigError
    text = str(cause)
    if text.startswith(f"{name} "):
        return error_type(text)
    return error_type(f"{name} {text}" if text.startswith("must ") else f"{name}: {text}")


def unknown_option(name: str, known: Collection[str], prefix: str = "") -> ConfigError:
    """Return the error of an option that is none."""
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"did you mean --{prefix}{near[0]}?" if near else "the bundle's docs/README.md lists the options."
    return ConfigError(f"unknown option --{prefix}{name}; {hint}")

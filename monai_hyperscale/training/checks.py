"""What a bundle's configuration calls: steps that end with one sentence for an error, the first of which are checks."""

from __future__ import annotations

import json
import logging
import re
import sys
from collections.abc import Callable, Mapping
from functools import wraps
from pathlib import Path
from typing import Any, Optional, cast

from monai.bundle import ConfigParser
from monai.bundle.utils import DEFAULT_MLFLOW_SETTINGS

from monai_hyperscale.bundle.locate import bundle_root, running_parser
from monai_hyperscale.bundle.settings import build_network, read_settings
from monai_hyperscale.errors import CheckpointError, ConfigError, DatasetError, HyperscaleError, PhiError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.networks import trained_network
from monai_hyperscale.tasks import task_named
from monai_hyperscale.training.checkpoints import starting_network
from monai_hyperscale.training.options import Kind, TrainingOptions, options_from, unknown_option

# As the shell tells a program that Ctrl-C ended, and as the commands end.
_INTERRUPTED = 130
# A worker process of a data loader hands its error over as text.
_TOLD = re.compile(r"^monai_hyperscale\.errors\.\w+: (.+)$", re.MULTILINE)
_OF_THE_NETWORK = {"spatial_dims", "network", "method", "keep_phi", "select", "per_level", "rescale_input"}
_REFERENCE = re.compile(r"@([\w#:]+)")


def ends_with_one_sentence(function: Callable[..., Any]) -> Callable[..., Any]:
    """Make ``function`` end the program with one sentence where an error of this package lies behind what it raises.

    MONAI wraps every ``Exception`` raised in a configuration into a traceback of its own, and only ``SystemExit``
    passes. Errors of other kinds are bugs and keep their traceback.

    Example:
        >>> from monai_hyperscale.networks.layers import check_factor
        >>> ends_with_one_sentence(check_factor)(2.0)
        Traceback (most recent call last):
        ...
        SystemExit: error: phi must be a number between 0 and 1, got 2.0.
    """

    @wraps(function)
    def run(*args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except KeyboardInterrupt:
            print("interrupted; --resume True goes on after the last whole epoch", file=sys.stderr, flush=True)
            raise SystemExit(_INTERRUPTED) from None
        except Exception as error:
            sentence = _sentence(error)
            if sentence is None:
                raise
            raise SystemExit(f"error: {sentence}") from None

    return run


@ends_with_one_sentence
def run_steps(entry: str = "steps") -> None:
    """Carry out a list of expressions of the running configuration, and what they need, one after another."""
    for kind in ("Trainer", "Evaluator"):
        logging.getLogger(f"ignite.engine.engine.Supervised{kind}").addFilter(_not_said_by_us)
    parser = running_parser()
    for index in range(len(parser[entry])):
        step = f"{entry}#{index}"
        parser.get_parsed_content(step)
        parser.ref_resolver.remove_resolved_content(step)  # as MONAI does, so that a workflow may run again


def _not_said_by_us(record: logging.LogRecord) -> bool:
    """Return whether a message of an engine says more than the sentence that a training ends or goes on with."""
    return not record.getMessage().startswith(("Engine run is terminating", "Engine run resuming"))


def _sentence(error: Optional[BaseException]) -> Optional[str]:
    while error is not None:
        if isinstance(error, HyperscaleError):
            return str(error)
        told = _TOLD.findall(str(error))
        if told:
            return told[-1]
        error = error.__cause__ or error.__context__
    return None


@ends_with_one_sentence
def check_training(task: str) -> None:
    """Check a task's running configuration; a SystemExit with one sentence for what is unknown, or cannot be."""
    options, later = _training_options(task)
    if not later & _OF_THE_NETWORK:
        fresh = options.warm_start is None and "warm_start" not in later
        network = starting_network(options.settings()) if fresh else build_network(options.settings())
        if options.method["name"] == "fixed":
            _check_phi("phi", options.phi, network)
        else:
            _check_phis("phi", options.phi, network)
        _check_phis("val_phi", options.val_phi, network)


@ends_with_one_sentence
def check_evaluation(task: str) -> None:
    """Check the running configuration of a task's evaluation as :func:`check_training` does, and its checkpoint."""
    options, later = _training_options(task)
    if options.dataset_dir is None and "dataset_dir" not in later:
        raise DatasetError(f"an evaluation needs {options.data}; name its folder with --dataset_dir.")
    folder = None if "ckpt_dir" in later else options.ckpt_dir
    _check_phis("phi", options.phi, _trained(task, folder))


@ends_with_one_sentence
def check_inference(task: str) -> None:
    """Check the running configuration of a task's inference, as :func:`check_training` does, and its checkpoint too."""
    parser = running_parser()
    _check_keys(_config(parser), lambda name: name == "inference.json")
    options, later = _early(task_named(task).inference_options, parser)
    network = _trained(task, None if "ckpt_dir" in later else options.ckpt_dir)
    if "phi" not in later:
        _check_phi("phi", options.phi, network)
    options.check_network(network)


def fingerprint(task: str, **known: Any) -> dict[str, Any]:
    """Return what must be the same for a task's running training to be resumed, by its options and what is known."""
    parser, kind = running_parser(), task_named(task).training_options
    names = [name for name, field in kind.model_fields.items() if not field.exclude and name in _config(parser)]
    # The device decides whether it has the precision.
    values = {name: parser.get_parsed_content(name) for name in (*names, "device")}
    return options_from(kind, values).fingerprint(**known)


def _training_options(task: str) -> tuple[TrainingOptions, set[str]]:
    parser = running_parser()
    _check_keys(_config(parser), lambda name: name != "inference.json")
    return _early(task_named(task).training_options, parser)


def _early(kind: type[Kind], parser: ConfigParser) -> tuple[Kind, set[str]]:
    """Return the options as far as they are known before data are read, and the names of the others."""
    config = _config(parser)
    given = {name: config[name] for name in kind.model_fields if name in config}
    written = {name: value for name, value in given.items() if not _is_expression(value)}
    options_from(kind, written, given.keys() - written.keys())  # what an expression is made of first
    early = {name: parser.get_parsed_content(name) for name in given if _needs_options_alone(name, kind, parser)}
    later = given.keys() - early.keys()
    return options_from(kind, early, later), set(later)


def _config(parser: ConfigParser) -> dict[str, Any]:
    return cast(dict[str, Any], parser.config)


def _is_expression(value: Any) -> bool:
    return isinstance(value, str) and value.startswith(("$", "@"))


def _needs_options_alone(name: str, kind: type[Kind], parser: ConfigParser) -> bool:
    value = _config(parser).get(name)
    if not _is_expression(value):
        return True
    known = {*kind.model_fields, "bundle_root"}
    used = {reference.replace("::", "#").partition("#")[0] for reference in _REFERENCE.findall(str(value))}
    return all(each in known and _needs_options_alone(each, kind, parser) for each in used)


def _trained(task: str, folder: Optional[str]) -> HyperNetwork:
    path = Path(bundle_root(), "models") if folder is None else Path(folder)
    settings = read_settings(path / "model.json", task_named(task).settings)
    if not (path / "model.pt").is_file():
        raise CheckpointError(f"no trained weights at {path / 'model.pt'}: train the bundle, or set --ckpt_dir.")
    return trained_network(path, settings)


def _check_phis(name: str, value: Any, network: HyperNetwork) -> None:
    for phi in value if isinstance(value, tuple) else [] if value is None else [value]:
        _check_phi(name, phi, network)


def _check_phi(name: str, value: Any, network: HyperNetwork) -> None:
    if not isinstance(value, tuple):
        return
    number = network.context["phi"]
    try:
        if number.count == 1 and len(value) > 1:
            raise PhiError(
                f"the network was built for one phi for all levels, got {len(value)} factors; give one, or train "
                "with --per_level True."
            )
        number.values(value)
    except ValueError as error:
        raise ConfigError(f"{name}: {error}") from None


# What `monai.bundle run` and its relatives take themselves, and may leave in the configuration.
_RESERVED = {"_meta_", "run_id", "init_id", "final_id", "args_file", "workflow_name", "workflow_type"}
_TRACKING = cast(dict[str, dict[str, Any]], DEFAULT_MLFLOW_SETTINGS)
_RESERVED |= set(_TRACKING["configs"]) - set(_TRACKING["handlers_id"])
# Entries whose content is arguments, checked by building with them.
_ARGUMENTS = ("network", "method", "augmentation", "synthetic")


def _check_keys(config: Mapping[str, Any], belongs: Callable[[str], bool]) -> None:
    """Check that every key of a configuration is one of the bundle's files: MONAI ignores mistyped ones."""
    known: dict[str, Any] = {}
    for file in sorted(Path(bundle_root(), "configs").glob("*.json")):
        if file.name != "metadata.json" and belongs(file.name):
            for name, value in json.loads(file.read_text("utf-8")).items():
                merge_keys(known, name.replace("::", "#").split("#"), value)
    compare_keys(config, known)


def merge_keys(known: dict[str, Any], path: list[str], value: Any) -> None:
    """Add an entry of a configuration file, by its path, to what is known."""
    for part in path[:-1]:
        known = known.setdefault(part, {})
        if not isinstance(known, dict):
            return
    last = path[-1]
    if isinstance(value, dict) and isinstance(known.get(last), dict):
        for name, inner in value.items():
            merge_keys(known[last], [name], inner)
    elif not isinstance(known.get(last), dict):
        known[last] = value


def compare_keys(config: Mapping[str, Any], known: Mapping[str, Any], prefix: str = "") -> None:
    """Check that all keys are known, and raise a ConfigError for one that is not."""
    for name, value in config.items():
        if not prefix and name in _RESERVED:
            continue
        if name not in known:
            raise unknown_option(name, known, prefix)
        # A component replaced by another one has arguments of its own.
        same = isinstance(value, dict) and isinstance(known[name], dict)
        if same and name not in _ARGUMENTS and value.get("_target_") == known[name].get("_target_"):
            compare_keys(value, known[name], f"{prefix}{name}#")

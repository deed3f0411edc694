"""Checkpoints of a training: written whole or not at all, and resumable to the same numbers."""

from __future__ import annotations

import itertools
import json
import logging
import math
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any, Optional, Union

import ignite.distributed as idist
import torch
import torch.nn as nn
from ignite.engine import Engine, Events

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import build_network, read_settings, write_settings
from monai_hyperscale.errors import CheckpointError, ConfigError, HyperscaleError
from monai_hyperscale.hypernet import HyperNetwork
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.io.files import PARTIAL, load_weights, save_atomically
from monai_hyperscale.networks.conversion import TensorReport
from monai_hyperscale.training.handlers import in_words, key_metric

LAST = "last.pt"
WEIGHTS = "model.pt"
SETTINGS = "model.json"

_LOGGER = logging.getLogger(__name__)


def set_aside(folder: Path) -> None:
    """Move the models of an earlier run to ``<folder>.previous-1`` and so on, and remove what a kill left."""
    for left in folder.glob(f"{PARTIAL}*"):
        left.unlink()
    earlier = [folder / name for name in (LAST, WEIGHTS, SETTINGS) if (folder / name).exists()]
    if earlier:
        number = next(n for n in itertools.count(1) if not folder.with_name(f"{folder.name}.previous-{n}").exists())
        aside = folder.with_name(f"{folder.name}.previous-{number}")
        aside.mkdir()
        for path in earlier:
            path.replace(aside / path.name)
        _LOGGER.info(f"The models of an earlier run are in {aside} now.")


def _without_foreseen_tracebacks(record: logging.LogRecord) -> bool:
    # MONAI's StatsHandler logs whatever ends a run with its traceback; what we raise is one sentence, said elsewhere.
    return record.exc_info is None or not isinstance(record.exc_info[1], (HyperscaleError, KeyboardInterrupt))


class RunCheckpoint:
    """Save the run after every epoch, and the best weights after every validation that found better ones.

    ``last.pt`` holds everything a resume needs; ``model.pt`` the best weights as a plain state dict in float16, with
    ``model.json`` beside it, which together make a network that ``monai-hyperscale segment`` runs.

    Args:
        folder: where the files go.
        network: whose weights are the result, commonly the averaged ones.
        settings: what goes into ``model.json``.
        objects: what has ``state_dict`` and ``load_state_dict`` and is part of the run: network, averaged network,
            optimizer, learning-rate schedule. The trainer's gradient scaler is added where it has one.
        resume: whether to continue from ``last.pt`` if it is there; otherwise an earlier run's files are set aside.
        fingerprint: what must be the same for a resume to end in the numbers of an uninterrupted run, by its name.
        score: name of the score that the best weights are chosen by, see :class:`PhiValidation`.
    """

    def __init__(
        self,
        folder: Union[str, Path],
        network: nn.Module,
        settings: NetworkSettings,
        objects: Mapping[str, Any],
        resume: bool = False,
        fingerprint: Optional[Mapping[str, Any]] = None,
        score: str = "dice",
    ) -> None:
        self.folder = Path(folder)
        self.network = network
        self.settings = settings
        self.objects = dict(objects)
        self.resume = resume
        self.fingerprint = {name: json.dumps(value) for name, value in (fingerprint or {}).items()}
        self.score = score
        self.best = float("-inf")

    def attach(self, engine: Engine) -> None:
        """Act at the start and at the end of every epoch of ``engine``; attach after all that changes the state."""
        for logger in (engine.logger, logging.getLogger("monai.handlers.StatsHandler")):
            logger.addFilter(_without_foreseen_tracebacks)
        engine.add_event_handler(Events.STARTED, self._start)
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Save, from the first process of a distributed run."""
        score = engine.state.metrics.get(key_metric(self.score))
        if score is not None and math.isfinite(score) and score > self.best:
            self.best = score
            if idist.get_rank() == 0:
                self._save_best(engine, score)
        if idist.get_rank() > 0:
            return
        content = {name: item.state_dict() for name, item in self._objects(engine).items()}
        progress = {"epoch": engine.state.epoch, "iteration": engine.state.iteration, "best": self.best}
        save_atomically({**content, "progress": progress, "fingerprint": self.fingerprint}, self.folder / LAST)

    def _objects(self, engine: Engine) -> dict[str, Any]:
        scaler = getattr(engine, "scaler", None)
        return self.objects if scaler is None else {**self.objects, "scaler": scaler}

    def _save_best(self, engine: Engine, score: float) -> None:
        weights = {name: value.detach().cpu() for name, value in self.network.state_dict().items()}
        weights = {name: value.half() if value.is_floating_point() else value for name, value in weights.items()}
        provenance = {
            **self.settings.provenance,
            "epoch": engine.state.epoch,
            "iterations": engine.state.iteration,
            f"validation_{self.score}": round(score, 4),
        }
        # Weights before their description: a kill between the two leaves a description that still fits them.
        save_atomically(weights, self.folder / WEIGHTS)
        write_settings(replace(self.settings, provenance=provenance), self.folder / SETTINGS)

    def _start(self, engine: Engine) -> None:
        path = self.folder / LAST
        if not self.resume:
            if idist.get_rank() == 0:
                set_aside(self.folder)
            return
        if not path.exists():
            _LOGGER.info(f"Nothing to resume at {path}: the training starts from the beginning.")
            return
        content = load_weights(path)
        kept = content.get("fingerprint", {})
        changed = [name for name, value in self.fingerprint.items() if kept.get(name) != value]
        if changed:
            raise CheckpointError(
                f"{path} is of a run with another {changed[0]} ({kept.get(changed[0])}, not "
                f"{self.fingerprint[changed[0]]}); resume with the same options, or without --resume."
            )
        try:
            for name, item in self._objects(engine).items():
                item.load_state_dict(content[name])
            progress = content["progress"]
            engine.state.epoch, engine.state.iteration = progress["epoch"], progress["iteration"]
            self.best = progress["best"]
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise CheckpointError(
                f"{path} is of a run with other settings ({_mismatch(error)}); resume with the same options, or "
                "without --resume."
            ) from error
        _LOGGER.info(f"Resumed after epoch {engine.state.epoch} (best {in_words(self.score)} so far {self.best:.4f}).")


def _mismatch(error: Exception) -> str:
    # torch puts a heading first, and then a line for every tensor.
    lines = [line.strip().rstrip(".") for line in str(error).splitlines() if line.strip()]
    return lines[min(1, len(lines) - 1)] if lines else type(error).__name__


def best_weights(network: nn.Module, folder: Union[str, Path]) -> nn.Module:
    """Load the best weights of a run into ``network`` and return it; a CheckpointError if there are none that fit."""
    idist.barrier()  # the first process may still be writing
    path = Path(folder) / WEIGHTS
    try:
        network.load_state_dict(load_weights(path))
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is of another network ({_mismatch(error)}); give the options that it was trained with."
        ) from error
    return network


def _earlier_weights(folder: Path, settings: NetworkSettings) -> Optional[dict[str, torch.Tensor]]:
    """Return an earlier network's weights to start every φ from, or for the φ kept; ``None`` to take it as it is."""
    if not (folder / SETTINGS).is_file():
        return None
    earlier, kept = read_settings(folder / SETTINGS, type(settings)), settings.generator.get("reference")
    grows = earlier.generator.get("name") == "constant" and settings.generator.get("name") != "constant"
    if kept is None and earlier.generator.get("reference") is not None:
        raise CheckpointError(
            f"the network in {folder} keeps its weights at phi = {earlier.generator['reference']:g}; go on with the "
            "options that it was trained with, or start from scratch."
        )
    if not grows and (kept is None or kept == earlier.generator.get("reference")):
        return None
    network = best_weights(build_network(earlier), folder)
    assert isinstance(network, HyperNetwork)
    with torch.no_grad():
        return {**network.primary.state_dict(), **network.generate(0.5 if kept is None else kept)}


def _freeze(network: HyperNetwork) -> HyperNetwork:
    # A network that keeps its weights at one φ: only what makes the other φ differ is trained.
    if getattr(network.generator, "reference", None) is not None:
        for name, parameter in network.named_parameters():
            parameter.requires_grad_(name.startswith("generator.") and name != "generator.base")
    return network


def starting_network(settings: NetworkSettings, source: Optional[Union[str, Path]] = None) -> HyperNetwork:
    """Return the network that a training starts from; the weights for the generator's ``reference`` φ are frozen.

    Args:
        settings: what to build.
        source: ``None`` for fresh weights; the folder of an earlier training or of its models, of the same settings or
            with one set of weights for every φ (methods ``fixed`` and ``stochastic``), which are then where each φ
            starts, as are the weights for the ``reference`` where there is one; or, for a network of MONAI's, the file
            of its weights, of which those are taken over that fit by name and shape. The log tells which.

    Raises:
        CheckpointError: if the weights are missing, or of another network.
        ConfigError: if there are none to keep.

    Example:
        >>> from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
        >>> settings = SegmentationSettings(2, ("MRI",), {1: "tumour"}, network={"features": (4, 4)})
        >>> starting_network(settings).primary.levels
        1
    """
    if source is None:
        kept = settings.generator.get("reference")
        if kept is not None:
            raise ConfigError(
                f"there is nothing to keep at phi = {kept:g}: name a network of this architecture with --warm_start, "
                "or leave keep_phi out."
            )
        return build_network(settings)
    if Path(source).is_file():
        network = build_network(settings, weights=source)
        converted: Any = getattr(network.primary, "backbone", network.primary)  # that of a registration network
        _LOGGER.info(str(converted.report.tensors))
        return _freeze(network)
    folder = Path(source)
    if not (folder / WEIGHTS).is_file():
        folder = model_folder(folder)
    told = TensorReport(str(folder / WEIGHTS))
    weights = _earlier_weights(folder, settings)
    if weights is None:
        network = build_network(settings)
        best_weights(network, folder)
        told.reused = list(network.state_dict())
    else:
        network = build_network(settings, weights=weights)
        told.reused = list(weights)
        added = [name for name in network.state_dict() if name.startswith("generator.") and name != "generator.base"]
        told.fresh = dict.fromkeys(added, "what makes a network of each phi starts anew")
    _LOGGER.info(str(told))
    return _freeze(network)


def shipped_start(settings: NetworkSettings, folder: Union[str, Path]) -> Optional[Path]:
    """Return the ``folder`` of a bundle's own models if a training of these ``settings`` can start from them."""
    folder = Path(folder)
    if not (folder / SETTINGS).is_file() or not (folder / WEIGHTS).is_file():
        return None
    shipped = read_settings(folder / SETTINGS, type(settings))
    # As JSON, which knows no tuples.
    if json.dumps([shipped.method, shipped.network]) != json.dumps([settings.method, settings.network]):
        return None
    with torch.random.fork_rng(devices=[]):  # the training's own start stays as it is
        built = [build_network(each).state_dict() for each in (shipped, settings)]
    there, wanted = ({name: value.shape for name, value in state.items()} for state in built)
    if there != wanted:
        return None
    _LOGGER.info(
        f"Starting from the bundle's own weights, trained on {shipped.provenance.get('data', 'other images')}; "
        "--warm_start None starts from scratch."
    )
    return folder

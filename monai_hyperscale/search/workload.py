"""What a φ is measured on: a trained network, cases with references, and a score of every case."""

from __future__ import annotations

import json
import logging
import math
import os
from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Optional, Union

import numpy as np
import torch

from monai_hyperscale.bundle.network_settings import NetworkSettings
from monai_hyperscale.bundle.settings import read_settings
from monai_hyperscale.errors import DatasetError, FrontierError, HyperscaleError, PhiError, first_line
from monai_hyperscale.inference.folded import FoldedInference
from monai_hyperscale.inference.networks import model_folder
from monai_hyperscale.io.files import sha256
from monai_hyperscale.networks.layers.factor import Phi, as_factors
from monai_hyperscale.search.cases import fingerprint
from monai_hyperscale.tasks import task_named

_LOGGER = logging.getLogger(__name__)


@dataclass(frozen=True)
class CaseResult:
    """What one φ scores on one case: of every label, by its value as text, ``None`` where it has no score.

    Beside it are ``extra`` of the task's columns, and the labels' ``volumes`` in the reference, in mm³ or voxels.
    """

    scores: Mapping[str, Optional[float]]
    extra: Mapping[str, Optional[float]] = field(default_factory=dict)
    volumes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class WorkloadOptions:
    """What is measured of a trained network, and on which cases.

    Args:
        metric: name of the score; ``None`` for the task's own.
        tolerance: of scores that take one, in mm.
        part: of the cases: ``validation``, by which the weights were chosen, ``test`` or ``all``.
        limit: most cases; ``None`` for the task's own limit, if it has any.
        device: where networks run.
        max_voxels: most voxels of an image that goes through whole.
        regularization: λ, of networks trained for several.
        seed: of what is drawn.
        pairs: of registration, a list of pairs; ``None`` for that of the training.
        atlas: of registration, what every image is registered to; ``None`` for that of the training.
        atlas_label: label map of an atlas that is a file.
    """

    metric: Optional[str] = None
    tolerance: Optional[float] = None
    part: str = "validation"
    limit: Optional[int] = None
    device: Union[str, torch.device] = "cpu"
    max_voxels: int = 2**24
    regularization: Optional[float] = None
    seed: int = 0
    pairs: Optional[Union[str, Path]] = None
    atlas: Optional[Union[str, Path]] = None
    atlas_label: Optional[Union[str, Path]] = None

    def refuse(self, *names: str, other: str) -> None:
        """Refuse, with a FrontierError, options by ``names`` that are for the networks of ``other`` tasks."""
        for name in names:
            if getattr(self, name) is not None:
                raise FrontierError(f"{name.replace('_', '-')} is for {other}; leave it out.")


class Workload(ABC):
    """A trained network, in the folder ``bundle``, and the cases of ``dataset_dir`` that it is measured on.

    Every task has its own, with the ``names`` of cases, the ``labels`` that are compared (name by value as text), the
    ``metric`` (``None``: correlation of images), and ``choices``: further options that scores depend on, for JSON. What
    is wrong with network, data set and options is a CheckpointError, a DatasetError and a FrontierError.
    """

    def __init__(
        self,
        bundle: Union[str, Path],
        dataset_dir: Union[str, os.PathLike],
        options: WorkloadOptions,
        settings: NetworkSettings,
    ) -> None:
        self.bundle = Path(bundle)
        self.title = Path(dataset_dir).resolve().name
        self.part = options.part
        self.settings: Any = settings
        self.device = torch.device(options.device)
        self.metric = task_named(settings.task).metric(options.metric, options.tolerance)
        self.names: list[str] = []
        self.labels: dict[str, str] = {}
        self._cases: Sequence[Mapping[str, Any]] = []
        self.choices: dict[str, Any] = {}

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 of the cases' files; they are read at the first use."""
        return fingerprint(self._cases)

    @property
    def task(self) -> str:
        """Name of the network's task."""
        return self.settings.task

    @property
    def metric_facts(self) -> dict[str, Any]:
        """``name`` and ``higher_is_better`` of the score."""
        if self.metric is None:
            return {"name": "correlation", "higher_is_better": True}
        return {"name": self.metric.name, "higher_is_better": self.metric.higher_is_better}

    @abstractmethod
    def run(self, phi: Phi) -> FoldedInference:
        """Return the network folded for φ, as it goes over whole images; a PhiError if it does not take φ."""

    def image(self, sizes: Optional[Sequence[int]] = None) -> torch.Tensor:
        """Return a network's input to time, on the device: of the first case, or random numbers of given sizes."""
        if sizes is None:
            return self.network_input(0)
        axes = len(self.network_input(0).shape) - 2
        if len(sizes) != axes:
            raise DatasetError(f"a size of {axes} numbers is needed, got {list(sizes)}.")
        generator = torch.Generator().manual_seed(0)
        return torch.rand(1, self.settings.in_channels, *sizes, generator=generator).to(self.device)

    @abstractmethod
    def network_input(self, index: int) -> torch.Tensor:
        """Return what the network takes of a case, (1, C, *sizes), on the device."""

    @abstractmethod
    def measure(self, index: int, run: FoldedInference) -> CaseResult:
        """Return what a folded network scores on a case; a HyperscaleError if a file of it cannot be used."""

    @abstractmethod
    def example(
        self, index: int, runs: Mapping[tuple[float, ...], FoldedInference]
    ) -> tuple[dict[str, np.ndarray], dict[tuple[float, ...], np.ndarray]]:
        """Return the images of a case and what networks make of them, as reports show them."""

    def stages(self, phi: Phi) -> dict[str, float]:
        """Return the seconds of every stage of the first case from file to file; nothing where that is not known."""
        return {}

    def volumes(
        self, reference: torch.Tensor, classes: Sequence[int], spacing: Optional[Sequence[float]]
    ) -> dict[str, float]:
        """Return how much of a label map (1, *sizes) of class indices every label takes, as ``volumes`` of results."""
        voxel = 1.0 if spacing is None else math.prod(spacing)
        counts = torch.bincount(reference.flatten().long(), minlength=max(classes, default=0) + 1).tolist()
        return {value: counts[index] * voxel for value, index in zip(self.labels, classes, strict=True)}

    def check_phi(self, phis: Sequence[tuple[float, ...]]) -> None:
        """Check that the network takes every φ, and was trained for it; a PhiError if not."""
        levels = max((len(phi) for phi in phis), default=1)
        if levels > 1 and not self.settings.per_level:
            raise PhiError(f"the network takes one phi for all levels, got {levels} factors.")
        for phi in phis:
            if not self.settings.context["phi"].trained(phi):
                low, high = self.settings.phi_range
                got = ",".join(f"{factor:g}" for factor in phi)
                raise PhiError(f"the network was trained for phi from {low:g} to {high:g}, got {got}.")
        for length in sorted({len(phi) for phi in phis}):
            self.run(next(phi for phi in phis if len(phi) == length))

    def data_facts(self) -> dict[str, Any]:
        """Return what results say of the cases, ready for JSON."""
        facts = {"name": self.title, "part": self.part, "cases": self.names}
        return {**facts, "files_sha256": self.fingerprint}

    def bundle_facts(self) -> dict[str, Any]:
        """Return name, hash of the weights and settings of the trained network, ready for JSON."""
        folder = model_folder(self.bundle).resolve()
        # As model.json has them: names are text, tuples are lists.
        described = json.loads(json.dumps({"task": self.settings.task, **asdict(self.settings)}))
        return {
            # Of a bundle's folder of models too.
            "name": folder.parent.name if folder.name == "models" else folder.name,
            "weights_sha256": sha256(folder / "model.pt"),
            "settings": described,
        }


def as_phi(phi: Phi) -> Union[float, tuple[float, ...]]:
    """Return φ, checked, as networks take it: one number, or one per level."""
    factors = as_factors(phi)
    return factors if len(factors) > 1 else factors[0]


@contextmanager
def case_errors(name: str) -> Iterator[None]:
    """Raise a DatasetError of one sentence where MONAI wraps errors of a case's files into errors of transforms."""
    try:
        yield
    except (HyperscaleError, MemoryError):
        raise
    except (RuntimeError, OSError, ValueError) as error:
        cause: Optional[BaseException] = error
        while cause is not None and not isinstance(cause, (HyperscaleError, OSError)):
            cause = cause.__cause__
        if cause is None:
            raise
        if isinstance(cause, HyperscaleError):
            raise cause from error
        raise DatasetError(f"case {name} cannot be read ({first_line(cause)}).") from error


def open_workload(
    bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], part: Optional[str] = None, **options: Any
) -> Workload:
    """Return a trained network with the cases that it is measured on, for whatever task.

    ``part`` of the cases is by default validation, or the test cases, with a warning, where the network knows of none;
    ``options`` are those of :class:`WorkloadOptions`.

    Raises:
        CheckpointError: if there is no trained network.
        DatasetError: if the data set does not fit it.
        FrontierError: if there is no such metric, or an option is not for networks of this task.
        PhiError: if the network takes no such number, or the number is not valid.
    """
    settings = read_settings(model_folder(bundle) / "model.json")
    chosen = WorkloadOptions(part=part or "validation", **options)
    settings.context.with_defaults(regularization=chosen.regularization)  # refuses what the network does not take
    task = task_named(settings.task)
    try:
        return task.workload(bundle, dataset_dir, chosen)
    except DatasetError as error:
        if part is not None:
            raise
        # Fails likewise where it is not for want of validation cases.
        workload = task.workload(bundle, dataset_dir, WorkloadOptions(part="test", **options))
        _LOGGER.warning(
            "%s; all %d test cases are measured, and what is chosen on them needs others to confirm it.",
            str(error).partition(";")[0],
            len(workload.names),
        )
        return workload

"""What a task tells the rest of the package."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional, Union

from monai_hyperscale.tasks.columns import Column

if TYPE_CHECKING:
    from monai_hyperscale.bundle.network_settings import NetworkSettings
    from monai_hyperscale.report.cards import Card, KeyEntry
    from monai_hyperscale.training.options import InferenceOptions, TrainingOptions

__all__ = ["Task"]


class Task(ABC):
    """What differs between segmentation, registration and whatever else a φ-network is trained for.

    Implementations import what is heavy inside their methods, so that a task can be asked for at little cost.

    Attributes:
        case_noun: what one case is called, such as ``pair``.
        columns: what results tell of every φ beside score and costs.
        scores: names of the scores that it knows, its usual one first.
        shown: images of an example on a report's page, beside a ``label`` map of reference.
        trial: what to override in the bundle's ``train.json`` to train on a little built-in data in seconds.
        commands: its commands on the command line, ``module:attribute`` of each by its name.
    """

    case_noun: ClassVar[str] = "case"
    columns: ClassVar[tuple[Column, ...]] = ()
    scores: ClassVar[tuple[str, ...]]
    shown: ClassVar[tuple[str, ...]] = ("image",)
    trial: ClassVar[Mapping[str, Any]]
    commands: ClassVar[Mapping[str, str]] = {}

    @property
    @abstractmethod
    def settings(self) -> type[NetworkSettings]:
        """What describes a trained network of this task."""

    @abstractmethod
    def facts(self, settings: Any) -> dict[str, Any]:
        """Return what networks of this task have beside what all have, ready for JSON.

        Args:
            settings: of a trained network of this task.

        Returns:
            ``labels``, the name of every label by its value in files as text, and more.
        """

    def description(self, settings: Any) -> list[tuple[str, str]]:
        """Return what of :meth:`facts` needs words, as names and texts for people."""
        return []

    @property
    @abstractmethod
    def training_options(self) -> type[TrainingOptions]:
        """What a training and an evaluation are asked."""

    @property
    @abstractmethod
    def inference_options(self) -> type[InferenceOptions]:
        """What an inference by MONAI's bundle commands is asked."""

    @abstractmethod
    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Any:
        """Return a score of this task.

        Args:
            name: of the score; ``None`` for the one that is usual.
            tolerance: of scores that take one, in mm.

        Raises:
            FrontierError: if there is no such score.
        """

    @abstractmethod
    def workload(self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: Any) -> Any:
        """Return a trained network with the cases that it is measured on.

        Args:
            bundle: the trained network's folder.
            dataset_dir: of the cases.
            options: :class:`~monai_hyperscale.search.WorkloadOptions`.

        Returns:
            a :class:`~monai_hyperscale.search.Workload`.

        Raises:
            CheckpointError: if there is no trained network of this task.
            DatasetError: if the data set does not fit it.
            FrontierError: if an option is not for networks of this task.
        """

    @abstractmethod
    def folding(self, settings: Any) -> Any:
        """Return the images and the bundle of a folded network.

        Args:
            settings: of the network.

        Returns:
            a :class:`~monai_hyperscale.export.folding.Folding`.
        """

    @property
    @abstractmethod
    def bundle(self) -> Path:
        """Folder of the bundle whose ``configs`` train networks of this task."""

    def prediction_shape(self, sizes: tuple[int, ...]) -> Optional[tuple[int, ...]]:
        """Return the shape of what a network predicts for an example of these sizes; ``None`` for any.

        It is a label map of the same sizes unless a task says otherwise.
        """
        return sizes

    @abstractmethod
    def cards(
        self,
        example: Any,
        number: int,
        labels: Mapping[int, str],
        phi_name: Callable[[tuple[float, ...]], str],
        note: Callable[[tuple[float, ...]], Optional[str]],
    ) -> tuple[list[Card], list[KeyEntry]]:
        """Return the pictures of an example for a report's page, one card per φ, and the key to their colours.

        Args:
            example: an :class:`~monai_hyperscale.report.Example`.
            number: of the example on the page.
            labels: name of every label by its value.
            phi_name: φ as people read it.
            note: from φ to the score of this case.
        """

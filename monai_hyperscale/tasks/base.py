"""What a task tells the rest of the package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Optional

if TYPE_CHECKING:
    from monai_hyperscale.bundle.network_settings import NetworkSettings
    from monai_hyperscale.export.folding import Folding
    from monai_hyperscale.report.cards import Card, KeyEntry
    from monai_hyperscale.search import Workload
    from monai_hyperscale.training.options import InferenceOptions, TrainingOptions

#: Scores of two label maps, as the command line takes them; a test holds them equal to those of ``search.metrics``.
LABEL_SCORES = ("dice", "iou", "surface_dice", "hd95", "hausdorff", "assd", "sensitivity", "precision")
#: What to override in a bundle's ``train.json`` to train in seconds, beside the size of the built-in data.
TRIAL: Mapping[str, Any] = {
    "max_epochs": 1,
    "iterations_per_epoch": 2,
    "val_interval": 1,
    "batch_size": 2,
    "num_workers": 0,
    "network::features": [4, 4],
}


@dataclass(frozen=True)
class Column:
    """A number that a task measures on every case, and results show as its mean over cases.

    A ``share`` is shown in per cent; another is like the score, with its figures and an interval. ``higher_is_better``
    is ``None`` where φ does not change it, such as what there was before.
    """

    name: str
    title: str
    share: bool = False
    higher_is_better: Optional[bool] = None


class _Lazy:
    def __init__(self, address: str) -> None:
        self.module, _, self.name = address.partition(":")

    def __set_name__(self, owner: type, name: str) -> None:
        self.package = owner.__module__.rpartition(".")[0]

    def __get__(self, instance: Any, owner: Optional[type] = None) -> Any:
        return getattr(import_module(f"{self.package}.{self.module}"), self.name)


def lazy(address: str) -> Any:
    """Return an attribute of a :class:`Task`, ``module:name`` in its folder, that is imported when first asked for."""
    return _Lazy(address)


class Task:
    """What differs between segmentation, registration and whatever else a φ-network is trained for.

    A task names what is heavy by :func:`lazy`, so that it can be asked for at little cost.

    Attributes:
        case_noun: what one case is called, such as ``pair``.
        columns: what results tell of every φ beside score and costs.
        scores: names of the scores that it knows, its usual one first.
        shown: images of an example on a report's page, beside a ``label`` map of reference.
        trial: what to override in the bundle's ``train.json`` to train on a little built-in data in seconds.
        commands: its commands on the command line, ``module:attribute`` of each by its name.
        bundle_name: of the bundle whose ``configs`` train its networks, where that is not ``bundle`` in its folder.
        settings: what describes a trained network.
        training_options: what a training and an evaluation are asked.
        inference_options: what an inference by MONAI's bundle commands is asked.
        workload: from a trained network's folder, that of a data set, and
            :class:`~monai_hyperscale.search.WorkloadOptions`, to the network with the cases that it is measured on.
        folding: from a network's settings to the images and the bundle of its folds.
        cards: from an :class:`~monai_hyperscale.report.Example`, its number on the page, the labels' names by value, φ
            as people read it, and the score of this case by φ, to the pictures of a report, one card per φ, and the
            key to their colours.
    """

    case_noun: ClassVar[str] = "case"
    columns: ClassVar[tuple[Column, ...]] = ()
    scores: ClassVar[tuple[str, ...]] = LABEL_SCORES
    shown: ClassVar[tuple[str, ...]] = ("image",)
    trial: ClassVar[Mapping[str, Any]]
    commands: ClassVar[Mapping[str, str]] = {}
    bundle_name: ClassVar[Optional[str]] = None
    settings: type[NetworkSettings]
    training_options: type[TrainingOptions]
    inference_options: type[InferenceOptions]
    workload: Callable[..., Workload]
    folding: Callable[[Any], Folding]
    cards: Callable[..., tuple[list[Card], list[KeyEntry]]]

    @property
    def bundle(self) -> Path:
        """Folder of the bundle whose ``configs`` train networks of this task."""
        if self.bundle_name is None:
            return Path(str(import_module(type(self).__module__).__file__)).parent / "bundle"
        from monai_hyperscale.bundle.locate import default_bundle

        return default_bundle(self.bundle_name)

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Any:
        """Return a score by name, the usual one for ``None``; of label maps unless a task says otherwise.

        ``tolerance``, in mm, is of scores that take one. An unknown name is a :class:`FrontierError`.
        """
        from monai_hyperscale.search.metrics import metric_named

        return metric_named(name or self.scores[0], tolerance)

    def trained_score(self, settings: Any) -> Optional[str]:
        """Return the score that the report of a training of these ``settings`` has; ``None`` for the usual one."""
        return None

    def prediction_shape(self, sizes: tuple[int, ...]) -> Optional[tuple[int, ...]]:
        """Return the shape of a prediction for an example of these sizes, a label map's; ``None`` for any."""
        return sizes

"""The scores that a frontier can be of: MONAI's metrics, from a fixed list, per case and label."""

from __future__ import annotations

import difflib
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import numpy as np
import torch
from monai.metrics import (
    ConfusionMatrixMetric,
    DiceMetric,
    HausdorffDistanceMetric,
    MeanIoU,
    SurfaceDiceMetric,
    SurfaceDistanceMetric,
    compute_confusion_matrix_metric,
)

from monai_hyperscale.errors import FrontierError

__all__ = ["METRICS", "Metric", "metric_named"]


@dataclass(frozen=True)
class Metric:
    """A MONAI metric of two label maps.

    A label that the reference lacks has no score. One that the prediction alone lacks has the worst: 0, or for a
    distance the diagonal of the image.

    Attributes:
        key: as the command line takes it.
        name: for people.
        higher_is_better: whether more of it is better.
        distance: whether it is in millimetres (voxels where they have no size).
        tolerance: in the unit of distances, of the metrics that take one.

    Example:
        >>> reference = torch.tensor([[[1, 1, 0, 2]]])
        >>> metric_named("dice")(torch.tensor([[[1, 0, 0, 0]]]), reference, labels=(1, 2, 3))
        [0.666..., 0.0, None]
    """

    key: str
    name: str
    make: Callable[[float], Any]
    higher_is_better: bool = True
    distance: bool = False
    tolerance: Optional[float] = None

    def __call__(
        self,
        predicted: torch.Tensor,
        reference: torch.Tensor,
        labels: Sequence[int],
        spacing: Optional[Sequence[float]] = None,
    ) -> list[Optional[float]]:
        """Return the score of every label of one case.

        Args:
            predicted: label map (1, *sizes).
            reference: of the same shape.
            labels: values that are compared.
            spacing: size of a voxel; ``None`` for 1.
        """
        return [self._of_label(predicted == value, reference == value, spacing) for value in labels]

    def _of_label(
        self, predicted: torch.Tensor, reference: torch.Tensor, spacing: Optional[Sequence[float]]
    ) -> Optional[float]:
        if not bool(reference.any()):
            return None
        steps = np.ones(predicted.dim() - 1) if spacing is None else np.asarray(spacing, dtype=float)
        worst = float(np.linalg.norm(steps * np.asarray(predicted.shape[1:]))) if self.distance else 0.0
        if not bool(predicted.any()):
            return worst
        if not self.distance and self.tolerance is None:
            # Overlap is counted in the smallest box that holds both.
            box = tuple(slice(int(axis.min()), int(axis.max()) + 1) for axis in (predicted | reference).nonzero().T)
            predicted, reference = predicted[box], reference[box]
        metric = self.make(self.tolerance or 0.0)
        options = {"spacing": steps.tolist()} if self.distance or self.tolerance is not None else {}
        with warnings.catch_warnings():
            # MONAI 1.6.1 warns of its own call.
            warnings.filterwarnings("ignore", ".*always_return_as_numpy", FutureWarning)
            # Not by aggregate, which gathers what other processes have measured at that moment.
            value = metric(predicted[None].float(), reference[None].float(), **options)
        if isinstance(metric, ConfusionMatrixMetric):
            value = compute_confusion_matrix_metric(metric.metric_name[0], value)
        score = float(value)
        return score if np.isfinite(score) else worst


def _confusion(name: str) -> Callable[[float], Any]:
    return lambda _: ConfusionMatrixMetric(metric_name=name)


#: By name. Every metric sees one label at a time, as foreground alone.
METRICS = {
    metric.key: metric
    for metric in (
        Metric("dice", "Dice", lambda _: DiceMetric(reduction="none")),
        Metric("iou", "IoU", lambda _: MeanIoU(reduction="none")),
        Metric(
            "surface_dice",
            "surface Dice",
            lambda tolerance: SurfaceDiceMetric([tolerance], include_background=True, reduction="none"),
            tolerance=1.0,
        ),
        Metric(
            "hd95",
            "HD95",
            lambda _: HausdorffDistanceMetric(include_background=True, percentile=95, reduction="none"),
            higher_is_better=False,
            distance=True,
        ),
        Metric(
            "hausdorff",
            "Hausdorff distance",
            lambda _: HausdorffDistanceMetric(include_background=True, reduction="none"),
            higher_is_better=False,
            distance=True,
        ),
        Metric(
            "assd",
            "mean surface distance",
            lambda _: SurfaceDistanceMetric(include_background=True, symmetric=True, reduction="none"),
            higher_is_better=False,
            distance=True,
        ),
        Metric("sensitivity", "sensitivity", _confusion("sensitivity")),
        Metric("precision", "precision", _confusion("precision")),
    )
}
_MONAI = {
    "DiceMetric": "dice",
    "MeanIoU": "iou",
    "SurfaceDiceMetric": "surface_dice",
    "HausdorffDistanceMetric": "hausdorff",
    "SurfaceDistanceMetric": "assd",
}


def metric_named(name: str, tolerance: Optional[float] = None) -> Metric:
    """Return a metric.

    Args:
        name: one of :data:`METRICS`, or the name of one of MONAI's classes behind them.
        tolerance: distance that counts as none, in mm, of surface Dice; 1 by default.

    Raises:
        FrontierError: if there is no such metric, or it takes no tolerance.

    Example:
        >>> metric_named("SurfaceDiceMetric", tolerance=2).name
        'surface Dice at 2 mm'
    """
    known = METRICS.get(_MONAI.get(name, name.lower().replace("-", "_")))
    if known is None:
        near = difflib.get_close_matches(name.lower(), METRICS, n=1)
        hint = f", did you mean {near[0]}?" if near else ";"
        raise FrontierError(f"there is no metric {name!r}{hint} known are {', '.join(METRICS)}.")
    if known.tolerance is None:
        if tolerance is not None:
            raise FrontierError(f"{known.key} takes no tolerance; surface_dice does.")
        return known
    value = known.tolerance if tolerance is None else tolerance
    if not 0 <= value < float("inf"):
        raise FrontierError(f"a tolerance is a distance of at least 0, got {tolerance}.")
    return Metric(known.key, f"{known.name} at {value:g} mm", known.make, tolerance=value)

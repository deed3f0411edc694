"""The scores that a frontier can be of: MONAI's metrics, per case and label, and the correlation of images."""

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


@dataclass(frozen=True)
class Metric:
    """A MONAI metric of two label maps, ``make``, which is given a tolerance; ``key`` is its name on the command line.

    A label that the reference lacks has no score. One that the prediction alone lacks has the worst: 0, or for a
    ``distance`` the diagonal of the image. Distances and tolerances are in millimetres, in voxels where these have no
    size.

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
        """Return the score of every label of label maps (1, *sizes); ``spacing`` is the size of a voxel, or 1."""
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


def _surface(key: str, name: str, make: Callable[..., Any], **options: Any) -> Metric:
    options |= {"include_background": True, "reduction": "none"}
    return Metric(key, name, lambda _: make(**options), higher_is_better=False, distance=True)


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
        _surface("hd95", "HD95", HausdorffDistanceMetric, percentile=95),
        _surface("hausdorff", "Hausdorff distance", HausdorffDistanceMetric),
        _surface("assd", "mean surface distance", SurfaceDistanceMetric, symmetric=True),
        Metric("sensitivity", "sensitivity", lambda _: ConfusionMatrixMetric(metric_name="sensitivity")),
        Metric("precision", "precision", lambda _: ConfusionMatrixMetric(metric_name="precision")),
    )
}


def metric_named(name: str, tolerance: Optional[float] = None) -> Metric:
    """Return one of :data:`METRICS`; a ``tolerance``, in mm, is of surface Dice, by default 1.

    An unknown metric, or a tolerance that it does not take, is a FrontierError.

    Example:
        >>> metric_named("surface_dice", tolerance=2).name
        'surface Dice at 2 mm'
    """
    known = METRICS.get(name.lower().replace("-", "_"))
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


def correlation(first: torch.Tensor, second: torch.Tensor) -> Optional[float]:
    """Return Pearson's correlation of two images (C, *sizes): the mean over the channels that vary in both, if any.

    Not of all channels together: the step from one channel's mean to the next would count as likeness.

    Example:
        >>> ramp = torch.arange(12.0).reshape(1, 3, 4)
        >>> round(correlation(torch.cat([ramp, ramp]), torch.cat([2 * ramp, 5 - ramp])), 12)
        0.0
    """
    a, b = (image.detach().double().flatten(1) for image in (first, second))
    # By values: a channel of one value is left with what rounding makes of its mean.
    varies = (a.amin(1) < a.amax(1)) & (b.amin(1) < b.amax(1))
    if not bool(varies.any()):
        return None
    a, b = (channels[varies] - channels[varies].mean(1, keepdim=True) for channels in (a, b))
    return float(((a * b).sum(1) / (a.norm(dim=1) * b.norm(dim=1))).clamp(-1, 1).mean())

"""Validation at several φ."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from typing import Any, Union

import torch
from ignite.engine import Events
from monai.engines import Evaluator
from monai.metrics import Cumulative

from monai_hyperscale.context import Context
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.search.statistics import mean_score
from monai_hyperscale.training.schedules import Handler

_LOGGER = logging.getLogger(__name__)


def mean_of_rows(rows: Any) -> float:
    """Return the mean over the known values of every row (cases, labels), then over rows; NaN where none is known."""
    known = [[value for value in row if value == value] for row in torch.as_tensor(rows).tolist()]
    mean = mean_score(known)
    return float("nan") if mean is None else mean


class LabelDice(Cumulative):
    """Measure the label maps of a validation by the Dice that results are measured by, one row per case.

    Example:
        >>> LabelDice([1])([torch.tensor([[[1, 0, 1]]])], [torch.tensor([[[1, 1, 0]]])])
        tensor([[0.5000]], dtype=torch.float64)
    """

    def __init__(self, labels: Sequence[int]) -> None:
        super().__init__()
        self.labels = list(labels)

    def __call__(self, predicted: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
        """Measure class indices (1, *sizes) by others, and keep the rows (B, labels), NaN for none."""
        rows = [
            METRICS["dice"](found.long(), label.round().long(), self.labels)
            for found, label in zip(predicted, reference, strict=True)
        ]
        scores = [[float("nan") if score is None else score for score in row] for row in rows]
        measured = torch.tensor(scores, dtype=torch.float64)
        self.extend(measured)
        return measured

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the mean over the labels of every case, then over the cases kept; 0 where nothing has a score."""
        return torch.tensor(mean_of_rows(self.get_buffer()), dtype=torch.float64).nan_to_num()


def evaluate_phis(
    evaluator: Evaluator, inferer: PhiInferer, phis: Sequence[Union[Context, Phi]]
) -> dict[Context, float]:
    """Run an evaluator, whose ``inferer`` it is, once per φ or context; return its key metric for each, in order."""
    scores = {}
    before = inferer.context
    try:
        for context in map(Context.of, phis):
            inferer.context = context
            evaluator.run()
            scores[context] = float(evaluator.state.metrics[evaluator.state.key_metric_name])
    finally:
        inferer.context = before
    return scores


class PhiValidation(Handler):
    """Validate a training at several φ, and put the results into the trainer's metrics.

    These are ``val_dice`` or another score (its mean over φ, by which the best weights are chosen) and
    ``val_dice_phi_0.30`` and so on (``val_dice_phi_0.50_0.25`` for one factor per level), each a scalar of TensorBoard.
    The last epoch is always validated, others by the ``interval``.
    """

    event = Events.EPOCH_COMPLETED

    def __init__(
        self,
        validator: Evaluator,
        inferer: PhiInferer,
        phis: Sequence[Union[Context, Phi]],
        interval: int = 1,
        score: str = "dice",
    ) -> None:
        if not phis or interval < 1:
            raise ValueError(f"expected at least one phi and an interval of at least 1, got {phis} and {interval}.")
        self.validator = validator
        self.inferer = inferer
        self.contexts = [Context.of(phi) for phi in phis]
        self.interval = interval
        self.score = score

    def __call__(self, engine: Any) -> None:
        state, key = engine.state, key_metric(self.score)
        for name in [name for name in state.metrics if name.startswith(key)]:
            del state.metrics[name]
        if state.epoch % self.interval and state.epoch != state.max_epochs:
            return
        self.validator.state.epoch = state.epoch
        scores = evaluate_phis(self.validator, self.inferer, self.contexts)
        state.metrics |= {"_".join([key, *_labels(context)]): score for context, score in scores.items()}
        state.metrics[key] = sum(scores.values()) / len(scores)
        by_phi = "  ".join(f"{_name(context)}: {score:.4f}" for context, score in scores.items())
        _LOGGER.info(f"Epoch {state.epoch}: {in_words(self.score)} {state.metrics[key]:.4f}  by phi  {by_phi}")


def _name(context: Context) -> str:
    """Return φ as the command line takes it; the whole context where it is more."""
    return context.text("phi") if len(context) == 1 else str(context)


def _labels(context: Context) -> Iterator[str]:
    for name in context:
        yield from (name, *(f"{value:.2f}" for value in context.several(name)))


def key_metric(score: str) -> str:
    """Return the name of a score among the trainer's metrics."""
    return f"val_{score}"


def in_words(score: str) -> str:
    """Return the name of a score for people, such as Error removed for ``error_removed``."""
    return score.replace("_", " ").capitalize()

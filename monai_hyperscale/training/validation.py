"""Validation at several φ."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Optional, TypeVar, Union

import numpy as np
import torch
from ignite.engine import Engine, Events
from monai.engines import Evaluator
from monai.metrics import Cumulative

from monai_hyperscale.context import Context
from monai_hyperscale.inference.inferers import PhiInferer
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.search.statistics import mean_score

__all__ = ["LabelDice", "PhiDice", "PhiResult", "PhiValidation", "evaluate_phis"]


@dataclass(frozen=True)
class PhiResult:
    """What one φ scores over a data set.

    Args:
        context: that the network ran at: φ, and what else it takes.

    Example:
        >>> PhiResult(Context(phi=(0.5, 0.25))).name, PhiResult(Context(phi=0.5, regularization=0.1)).name
        ('0.5,0.25', 'phi 0.5, regularization 0.1')
    """

    context: Context

    @property
    def phi(self) -> Union[float, tuple[float, ...]]:
        """The rescaling factor, one or one per level."""
        return self.context["phi"]

    @property
    def name(self) -> str:
        """φ as text, as the command line takes it; the whole context where it is more."""
        return self.context.text("phi") if len(self.context) == 1 else str(self.context)

    @property
    def mean(self) -> float:
        """The score in one number, the greater the better."""
        raise NotImplementedError


@dataclass(frozen=True)
class PhiDice(PhiResult):
    """Dice of one φ over a data set.

    Args:
        context: see :class:`PhiResult`.
        scores: Dice per case and label (cases, labels); NaN where the reference lacks the label.

    Example:
        >>> PhiDice(Context(phi=0.5), np.array([[0.75, 0.25]])).mean
        0.5
    """

    scores: np.ndarray

    @property
    def mean(self) -> float:
        """Mean over the labels of every case, then over cases, see :func:`mean_score`; 0 where nothing has a score."""
        return mean_score(known_values(self.scores)) or 0.0

    @property
    def per_label(self) -> list[float]:
        """Mean over cases of every label; NaN for one that no case has."""
        present = np.isfinite(self.scores)
        total = np.where(present, self.scores, 0.0).sum(axis=0)
        count = present.sum(axis=0)
        return [float(t / n) if n else float("nan") for t, n in zip(total, count, strict=True)]


def known_values(values: np.ndarray) -> list[list[Optional[float]]]:
    """Return the rows of an array with ``None`` for NaN."""
    return [[float(value) if np.isfinite(value) else None for value in row] for row in values]


def dice_of(context: Context, details: Any) -> PhiDice:
    """Return what :class:`LabelDice` keeps, (cases, labels), as the Dice of a context."""
    return PhiDice(context, torch.as_tensor(details).cpu().numpy().astype(np.float64))


class LabelDice(Cumulative):
    """Measure the label maps of a validation by the Dice that results are measured by, one row per case.

    Args:
        labels: class indices that are compared.

    Example:
        >>> logits = torch.tensor([[[0.0, 2.0, 0.0]], [[1.0, 0.0, 1.0]]])
        >>> dice = LabelDice([1])
        >>> dice([logits], [torch.tensor([[[1, 1, 0]]])])
        tensor([[0.5000]], dtype=torch.float64)
        >>> dice.aggregate()
        tensor(0.5000)
    """

    def __init__(self, labels: Sequence[int]) -> None:
        super().__init__()
        self.labels = list(labels)

    def __call__(self, predicted: Sequence[torch.Tensor], reference: Sequence[torch.Tensor]) -> torch.Tensor:
        """Measure a batch and keep its rows.

        Args:
            predicted: logits (C, *sizes) of every case.
            reference: class indices (1, *sizes) of every case.

        Returns:
            (B, labels) in float64; NaN where the reference lacks the label.
        """
        rows = [
            METRICS["dice"](logits.argmax(0, keepdim=True), label.round().long(), self.labels)
            for logits, label in zip(predicted, reference, strict=True)
        ]
        scores = [[float("nan") if score is None else score for score in row] for row in rows]
        found = torch.tensor(scores, dtype=torch.float64)
        self.extend(found)
        return found

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the mean over the labels of every case, then over the cases kept."""
        return torch.tensor(dice_of(Context(phi=0.0), self.get_buffer()).mean)


Result = TypeVar("Result", bound=PhiResult)


def evaluate_phis(
    evaluator: Evaluator,
    inferer: PhiInferer,
    phis: Sequence[Union[Context, Phi]],
    result: Callable[[Context, Any], Result],
) -> list[Result]:
    """Run an evaluator once per φ, or per context.

    Args:
        evaluator: with a metric that keeps its rows, such as :class:`LabelDice`, as its key metric.
        inferer: the evaluator's inferer, whose ``context`` is set.
        phis: each a number or one number per level, or a whole context.
        result: what makes a result of a context and the details, such as :func:`dice_of`.

    Returns:
        the result of every φ, in the order given.
    """
    results = []
    before = inferer.context
    try:
        for context in map(Context.of, phis):
            inferer.context = context
            evaluator.run()
            details = evaluator.state.metric_details[evaluator.state.key_metric_name]
            results.append(result(context, details))
    finally:
        inferer.context = before
    return results


class PhiValidation:
    """Validate a training at several φ, and put the results into the trainer's metrics.

    The metrics are ``val_dice`` or another score (its mean over φ, by which the best weights are chosen) and
    ``val_dice_phi_0.30`` and so on (``val_dice_phi_0.50_0.25`` for one factor per level), which the TensorBoard
    handler then writes as one scalar each.

    Args:
        validator: the evaluator.
        inferer: its inferer.
        phis: what to validate at, each a number or one number per level, or a whole context.
        interval: epochs between validations; the last epoch is always validated.
        score: name of the score, ``dice`` for example.
        result: what makes results of the validator's details, see :func:`evaluate_phis`.
    """

    def __init__(
        self,
        validator: Evaluator,
        inferer: PhiInferer,
        phis: Sequence[Union[Context, Phi]],
        interval: int = 1,
        score: str = "dice",
        result: Callable[[Context, Any], PhiResult] = dice_of,
    ) -> None:
        if not phis or interval < 1:
            raise ValueError(f"expected at least one phi and an interval of at least 1, got {phis} and {interval}.")
        self.validator = validator
        self.inferer = inferer
        self.contexts = [Context.of(phi) for phi in phis]
        self.interval = interval
        self.score = score
        self.result = result
        self.logger = logging.getLogger(__name__)

    def attach(self, engine: Engine) -> None:
        """Act at the end of epochs of ``engine``."""
        engine.add_event_handler(Events.EPOCH_COMPLETED, self)

    def __call__(self, engine: Engine) -> None:
        """Validate, if it is this epoch's turn."""
        state, key = engine.state, key_metric(self.score)
        for name in [name for name in state.metrics if name.startswith(key)]:
            del state.metrics[name]
        if state.epoch % self.interval and state.epoch != state.max_epochs:
            return
        self.validator.state.epoch = state.epoch
        results = evaluate_phis(self.validator, self.inferer, self.contexts, self.result)
        for result in results:
            state.metrics["_".join([key, *_labels(result.context)])] = result.mean
        state.metrics[key] = float(np.mean([result.mean for result in results]))
        by_phi = "  ".join(f"{result.name}: {result.mean:.4f}" for result in results)
        name = in_words(self.score)
        self.logger.info(f"Epoch {state.epoch}: {name} {state.metrics[key]:.4f}  by phi  {by_phi}")


def _labels(context: Context) -> Iterator[str]:
    for name in context:
        yield from (name, *(f"{value:.2f}" for value in context.several(name)))


def key_metric(score: str) -> str:
    """Return the name of a score among the trainer's metrics."""
    return f"val_{score}"


def in_words(score: str) -> str:
    """Return the name of a score for people.

    Example:
        >>> in_words("dice"), in_words("error_removed")
        ('Dice', 'Error removed')
    """
    return score.replace("_", " ").capitalize()

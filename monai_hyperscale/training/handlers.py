"""Handlers of a training: what an iteration or an epoch is done with, and validation at several φ."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Optional, Union

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from monai.data.utils import set_rnd
from monai.engines import Evaluator
from monai.engines.utils import IterationEvents
from monai.metrics import Cumulative
from monai.optimizers import WarmupCosineSchedule
from monai.utils import CommonKeys

from monai_hyperscale.context import Context
from monai_hyperscale.errors import TrainingError
from monai_hyperscale.inference.inferers import PhiInferer, PhiPartsInferer
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.metrics import METRICS
from monai_hyperscale.search.statistics import mean_score
from monai_hyperscale.training.priors import PhiPrior


def as_handler(handler: Any) -> Any:
    """Return ``handler`` itself: MONAI requires every entry of its handler list to be a component of its own."""
    return handler


def training_inferer(precision: str = "fp32", phis_per_step: int = 1) -> PhiInferer:
    """Return the trainer's inferer, of which a step trains ``phis_per_step`` φ, each on its share of the batch."""
    if phis_per_step == 1:
        return PhiInferer(precision=precision)
    return PhiPartsInferer([0.5] * phis_per_step, precision)


class Handler:
    """Acts at one kind of event of a trainer."""

    event: ClassVar[Any]

    def attach(self, engine: Engine) -> None:
        """Act at every such event of ``engine``."""
        engine.add_event_handler(self.event, self)

    def __call__(self, engine: Any) -> None:
        raise NotImplementedError


def _loss(output: Any) -> torch.Tensor:
    """Return the loss of a step, from its output as a batch or as a list of samples."""
    return torch.as_tensor((output[0] if isinstance(output, list) else output)[CommonKeys.LOSS]).detach()


class MeanLoss(Handler):
    """Put the mean loss of every epoch into the trainer's metrics as ``train_loss``, for the log and TensorBoard."""

    def attach(self, engine: Engine) -> None:
        Average(output_transform=lambda output: _loss(output).mean()).attach(engine, "train_loss")


class PhiSampler(Handler):
    """Draw a φ, or context, per iteration and part of the batch for the trainer's inferer (SSHN section 3).

    They are in ``engine.state.contexts`` for other handlers.
    """

    event = Events.ITERATION_STARTED

    def __init__(self, prior: PhiPrior, inferer: PhiInferer) -> None:
        self.prior = prior
        self.inferer = inferer
        self.count = len(inferer.contexts) if isinstance(inferer, PhiPartsInferer) else 1

    def __call__(self, engine: Any) -> None:
        contexts = self.prior.contexts(engine.state.iteration, self.count)
        if len(set(contexts)) == 1:  # of a network for one φ: the batch goes through in one piece
            contexts = contexts[:1]
        engine.state.contexts = contexts
        if isinstance(self.inferer, PhiPartsInferer):
            self.inferer.contexts = contexts
        else:
            (self.inferer.context,) = contexts


class CosineSchedule(WarmupCosineSchedule):
    """MONAI's warm-up and cosine decay; a checkpoint keeps its position only, so that ``t_total`` can grow."""

    def state_dict(self) -> dict[str, Any]:
        """Return the position."""
        return {name: getattr(self, name) for name in ("last_epoch", "_step_count", "_last_lr")}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a position."""
        self.__dict__.update(state_dict)


class StopOnDivergence(Handler):
    """End a training whose loss is NaN or infinite with a TrainingError, before its weights are taken for a result."""

    event = Events.ITERATION_COMPLETED

    def __call__(self, engine: Any) -> None:
        loss = _loss(engine.state.output)
        if not bool(loss.isfinite().all()):
            raise TrainingError(
                f"the loss is {float(loss.mean())} at iteration {engine.state.iteration}: the training diverged; "
                "lower --learning_rate, and go on with --resume True or start anew."
            )


@dataclass(eq=False)
class EpochSeed(Handler):
    """Seed everything at the start of every epoch from the seed and the epoch, ``dataset`` and ``sampler`` too."""

    event = Events.EPOCH_STARTED
    seed: int
    dataset: Optional[Any] = None
    sampler: Optional[Any] = None

    def __call__(self, engine: Any) -> None:
        # Processes of a distributed run see different cases, so they augment them differently.
        entropy = [self.seed, engine.state.epoch, idist.get_rank()]
        epoch_seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
        torch.manual_seed(epoch_seed)
        np.random.seed(epoch_seed)
        if self.dataset is not None:
            set_rnd(self.dataset, seed=epoch_seed)
        if self.sampler is not None and hasattr(self.sampler, "set_epoch"):
            self.sampler.set_epoch(engine.state.epoch)


@dataclass(eq=False)
class LossSchedule(Handler):
    """Set ``epoch`` of a scheduled loss at the start of every epoch."""

    event = Events.EPOCH_STARTED
    loss: Any

    def __call__(self, engine: Any) -> None:
        self.loss.epoch = engine.state.epoch


@dataclass(eq=False)
class GradientClipping(Handler):
    """Clip the norm of the gradient to ``max_norm`` before every step of the trainer's optimizer."""

    event = IterationEvents.BACKWARD_COMPLETED
    max_norm: float

    def __call__(self, engine: Any) -> None:
        if engine.scaler is not None:
            # fp16 gradients are scaled up; the norm is meant of the true ones.
            engine.scaler.unscale_(engine.optimizer)
        groups = engine.optimizer.param_groups
        values = [value for group in groups for value in group["params"] if value.grad is not None]
        norm = torch.nn.utils.get_total_norm([value.grad for value in values])
        # Mostly it is small enough, and scaling all of a generator's gradients by 1 takes a percent of a step.
        if not norm <= self.max_norm:
            torch.nn.utils.clip_grads_with_norm_(values, self.max_norm, norm)


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

"""Handlers that set what an iteration or an epoch of training is done with."""

from __future__ import annotations

from typing import Any, ClassVar, Optional

import ignite.distributed as idist
import numpy as np
import torch
from ignite.engine import Engine, Events
from ignite.metrics import Average
from monai.data.utils import set_rnd
from monai.engines.utils import IterationEvents
from monai.optimizers import WarmupCosineSchedule
from monai.utils import CommonKeys

from monai_hyperscale.errors import TrainingError
from monai_hyperscale.inference.inferers import PhiInferer, PhiPartsInferer
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

    def __init__(self, optimizer: torch.optim.Optimizer, warmup_steps: int, t_total: int) -> None:
        super().__init__(optimizer, warmup_steps=warmup_steps, t_total=t_total)

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


class EpochSeed(Handler):
    """Seed everything at the start of every epoch from the seed and the epoch, ``dataset`` and ``sampler`` too."""

    event = Events.EPOCH_STARTED

    def __init__(self, seed: int, dataset: Optional[Any] = None, sampler: Optional[Any] = None) -> None:
        self.seed = seed
        self.dataset = dataset
        self.sampler = sampler

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


class LossSchedule(Handler):
    """Set ``epoch`` of a scheduled loss at the start of every epoch."""

    event = Events.EPOCH_STARTED

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def __call__(self, engine: Any) -> None:
        self.loss.epoch = engine.state.epoch


class GradientClipping(Handler):
    """Clip the norm of the gradient to ``max_norm`` before every step of the trainer's optimizer."""

    event = IterationEvents.BACKWARD_COMPLETED

    def __init__(self, max_norm: float) -> None:
        self.max_norm = max_norm

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

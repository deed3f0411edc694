"""A training in two stages: one network for one φ first, then what differs from it at the others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Optional

import torch
from ignite.engine import Engine, Events

from monai_hyperscale.bundle.methods import FIXED_PHI, may_keep_phi
from monai_hyperscale.errors import ConfigError
from monai_hyperscale.training.one_sentence import ends_with_one_sentence
from monai_hyperscale.training.priors import Drawn, PhiPrior

__all__ = ["SecondStage", "StagedPhi", "Stages", "parameter_groups", "training_stages"]


@dataclass(frozen=True)
class Stages:
    """How a training is divided.

    Args:
        epochs: of the first stage; 0 where all is one.
        keep_phi: φ at which a network stays as it is in the (second) stage: that of the first, or one that is there
            already; ``None`` for none.
    """

    epochs: int = 0
    keep_phi: Optional[float] = None


@ends_with_one_sentence
def training_stages(
    first_epochs: int,
    max_epochs: int,
    method: str = "sshn",
    phi: Any = None,
    keep_phi: Optional[float] = None,
    warm_start: Any = None,
    generator: Optional[Mapping[str, Any]] = None,
    phi_range: Sequence[float] = (0.0, 0.5),
    all_levels: bool = False,
) -> Stages:
    """Return how a training is divided: in two where it is SSHN's, from fresh weights, for a range of φ.

    A network that learns every φ at once comes to rely on what serves all of them, the full resolution and the global
    context, and learns what lies between too slowly. So φ = 0.5 comes first.

    Args:
        first_epochs: of the first stage; 0 for one stage.
        max_epochs: of the training.
        method: see :func:`method_generator`.
        phi: the ``phi`` option; another than ``None`` names what to train for, so all is one stage.
        keep_phi: φ of the first stage; ``None`` for 0.5, or what of the range is nearest to it.
        warm_start: where the training starts from; another than ``None`` leaves nothing for the first stage.
        generator: settings of the weight generator.
        phi_range: least and greatest φ.
        all_levels: whether the input and every level have a factor of their own, so that no single φ names a network.

    Raises:
        SystemExit: with one sentence, if nothing is left for the second stage, or ``keep_phi`` is not within the range.

    Example:
        >>> training_stages(12, 18)
        Stages(epochs=12, keep_phi=0.5)
        >>> training_stages(12, 18, method="film"), training_stages(12, 18, phi=[0.2, 0.5]).epochs
        (Stages(epochs=0, keep_phi=None), 0)
    """
    low, high = phi_range
    joint = phi is not None or warm_start is not None or all_levels or low == high
    if joint or not first_epochs or not may_keep_phi(method, generator):
        return Stages(0, keep_phi)
    if first_epochs >= max_epochs:
        raise ConfigError(
            f"first_epochs must leave some of the {max_epochs} max_epochs for the second stage, got {first_epochs}."
        )
    if keep_phi is not None and not low <= keep_phi <= high:
        raise ConfigError(f"keep_phi must be within phi_range, {low:g} to {high:g}, got {keep_phi:g}.")
    return Stages(first_epochs, min(max(FIXED_PHI, low), high) if keep_phi is None else keep_phi)


class StagedPhi(PhiPrior):
    """One prior for the first iterations, another after them.

    Args:
        first: whose φ, one in a step, the first stage trains.
        then: the prior of the second stage, whose range, levels and seed count.
        iterations: of the first stage.

    Example:
        >>> from monai_hyperscale.training import FixedPhi, UniformPhi
        >>> prior = StagedPhi(FixedPhi(0.5), UniformPhi(0.1, 0.2), iterations=2)
        >>> prior(1), prior(2), prior(3) < 0.5, prior.several(1, 4)
        (0.5, 0.5, True, [0.5])
    """

    def __init__(self, first: PhiPrior, then: PhiPrior, iterations: int) -> None:
        super().__init__(then.levels, then.seed, then.rescale_input)
        self.first = first
        self.then = then
        self.iterations = iterations

    @property
    def range(self) -> tuple[float, float]:
        """Least and greatest φ that the second stage draws."""
        return self.then.range

    def several(self, iteration: int, count: int) -> list[Drawn]:
        """Return ``count`` φ of an iteration, see :class:`PhiPrior`; in the first stage one."""
        if iteration <= self.iterations:
            return self.first.several(iteration, 1)
        return self.then.several(iteration, count)


def parameter_groups(
    network: torch.nn.Module,
    stages: Optional[Stages] = None,
    learning_rate: Optional[float] = None,
    head_rate: float = 1.0,
) -> list[dict[str, Any]]:
    """Return an optimizer's parameter groups: all together, or what every φ shares and then what changes with φ.

    They are two where a training has two stages, of which the second trains the latter alone, and where the two learn
    at different rates: heads multiply the steps that the weights take, so a rate that suits the shared ones may be too
    fast for them.

    Args:
        network: a hypernetwork.
        stages: of the training.
        learning_rate: of what every φ shares; ``None`` leaves rates to the optimizer.
        head_rate: learning rate of what changes with φ, relative to that.

    Raises:
        ValueError: for a ``head_rate`` of no ``learning_rate``.

    Example:
        >>> from monai_hyperscale.hypernet import HyperNetwork
        >>> from monai_hyperscale.networks import ScaleSpaceUNet
        >>> net = HyperNetwork(ScaleSpaceUNet(2, 1, 2, features=(8, 8)))
        >>> [group["lr"] for group in parameter_groups(net, learning_rate=0.01, head_rate=0.5)]
        [0.01, 0.005]
    """
    if learning_rate is None and head_rate != 1:
        raise ValueError(f"head_rate is relative to a learning_rate; give one beside head_rate={head_rate:g}.")
    trained = {name: value for name, value in network.named_parameters() if value.requires_grad}
    changing = {n: v for n, v in trained.items() if n.startswith("generator.") and n != "generator.base"}
    two_stages = stages is not None and bool(stages.epochs)
    if not two_stages and (head_rate == 1 or not changing):
        return [{"params": list(trained.values()), **_rate(learning_rate)}]
    shared = [value for name, value in trained.items() if name not in changing]
    groups = [{"params": shared, **_rate(learning_rate)}]
    return [*groups, {"params": list(changing.values()), **_rate(learning_rate, head_rate)}]


def _rate(learning_rate: Optional[float], factor: float = 1.0) -> dict[str, float]:
    return {} if learning_rate is None else {"lr": learning_rate * factor}


class SecondStage:
    """Begin the second stage of a training with the averaged weights of the first, and with a fresh optimizer.

    What no φ changes has a learning rate of 0 from then on, see :class:`CosineSchedule`.

    Args:
        stages: of the training.
        network: that is trained.
        averaged: its averaged weights.
        optimizer: of the training.
    """

    def __init__(
        self, stages: Stages, network: torch.nn.Module, averaged: torch.nn.Module, optimizer: torch.optim.Optimizer
    ) -> None:
        self.stages = stages
        self.network = network
        self.averaged = averaged
        self.optimizer = optimizer

    def attach(self, engine: Engine) -> None:
        """Act at the start of epochs of ``engine``."""
        if self.stages.epochs:
            engine.add_event_handler(Events.EPOCH_STARTED(event_filter=self._begins), self)

    def _begins(self, engine: Engine, event: int) -> bool:
        return engine.state.epoch == self.stages.epochs + 1

    def __call__(self, engine: Engine) -> None:
        """Begin the second stage."""
        self.network.load_state_dict(self.averaged.state_dict())
        self.optimizer.state.clear()
        engine.logger.info(
            f"From here on the network stays as it is at phi = {self.stages.keep_phi:g}; the other phi are trained."
        )

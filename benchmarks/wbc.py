"""Train one network on the white blood cells and measure it at several φ: what the comparison of methods repeats."""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from monai.losses import DiceCELoss
from monai.transforms import Compose, Resized
from monai.utils import set_determinism

from monai_hyperscale.data import read_dataset, segmentation_preprocessing, split_cases
from monai_hyperscale.hypernet import HyperNetwork, build_generator
from monai_hyperscale.networks import ScaleSpaceUNet
from monai_hyperscale.search import METRICS
from monai_hyperscale.search.statistics import case_score
from monai_hyperscale.training import ChoicePhi, FixedPhi, PhiPrior, UniformPhi

__all__ = ["METHODS", "Recipe", "dice", "load_images", "train"]

METHODS = ("sshn", "fixed", "stochastic", "film")
SIZE = 64
CLASSES = 3
SPLIT = (0.65, 0.15, 0.2)

#: Images (N, 3, 64, 64) and class indices (N, 1, 64, 64).
Images = tuple[torch.Tensor, torch.Tensor]


@dataclass(frozen=True)
class Recipe:
    """How one network is trained.

    Args:
        method: ``sshn`` (weights generated from φ), ``fixed`` (one network for ``phi``), ``stochastic`` (φ drawn, the
            same weights for all) or ``film`` (φ drawn, scale and shift of every channel from φ).
        phi: of ``fixed``.
        steps: optimiser steps of one fixed network.
        step_factor: this network's steps over those.
        learning_rate: peak, after 5 % of warm-up steps and before a cosine down to zero.
        features: channels of every stage of the U-Net.
        norm: normalisation of the U-Net.
        generator: arguments of ``build_generator``.
        select: which tensors are generated.
        low: least φ drawn.
        exponent: of the prior over φ in (low, 0.5), see ``UniformPhi``.
        choices: the φ to draw from instead of a range.
        phis_per_step: how many φ a step trains, each on its share of the batch, drawn from as many equal strata.
        fixed_share: share of the steps, the first ones, at φ = 0.5 alone.
        two_stages: after those, start again from the averaged weights with the learning rate's warm-up and cosine.
        base_rate: learning rate of what does not depend on φ in the second stage, relative to the first.
        averaging: decay per step of the averaged weights that are measured; 0 measures the last ones.
        head_rate: learning rate of everything that depends on φ, relative to the rest.
        distillation: weight of the cross-entropy to the network's own logits at φ = 0.5 (detached).
        clip: largest norm of the gradient.
    """

    method: str = "sshn"
    phi: float = 0.5
    steps: int = 600
    step_factor: float = 1.0
    learning_rate: float = 1e-2
    features: tuple[int, ...] = (16, 16, 16, 16, 16)
    norm: str | None = "group"
    generator: dict[str, Any] = field(default_factory=dict)
    select: str = "convolutions"
    low: float = 0.0
    exponent: float = 1.0
    choices: tuple[float, ...] = ()
    phis_per_step: int = 1
    fixed_share: float = 0.0
    two_stages: bool = False
    base_rate: float = 1.0
    averaging: float = 0.99
    head_rate: float = 1.0
    distillation: float = 0.0
    clip: float = 5.0

    @property
    def total_steps(self) -> int:
        """Optimiser steps."""
        return round(self.steps * self.step_factor)


def load_images(folder: str | Path, seed: int = 0) -> dict[str, Images]:
    """Read both sets of white blood cells, resized to 64 × 64, as ``train``, ``validation`` and ``test``.

    Each set is split by itself, so that every part has both microscopes.
    """
    parts: dict[str, list[dict]] = {"train": [], "validation": [], "test": []}
    for name in ("d1_120", "d2_300"):
        dataset = read_dataset(Path(folder) / name)
        for part, cases in zip(parts, split_cases(dataset.cases, SPLIT, seed), strict=True):
            parts[part] += cases
    load = Compose(
        [
            segmentation_preprocessing(dataset.channels, 2, label_values=None),
            Resized(("image", "label"), (SIZE, SIZE), mode=("bilinear", "nearest-exact")),
        ]
    )
    images: dict[str, Images] = {}
    for part, cases in parts.items():
        loaded: list[Any] = [load(case) for case in cases]
        x = torch.stack([case["image"].as_tensor() for case in loaded])
        images[part] = x, torch.stack([case["label"].as_tensor() for case in loaded]).long()
    return images


def build(recipe: Recipe) -> HyperNetwork:
    """Return the network of a recipe; the seed decides its first weights, the same for every method."""
    primary = ScaleSpaceUNet(2, 3, CLASSES, features=recipe.features, norm=recipe.norm)
    if recipe.method == "sshn":
        return HyperNetwork(primary, build_generator(**recipe.generator), select=recipe.select)
    if recipe.method == "film":
        select = "convolutions" if recipe.norm is None else "norms"
        return HyperNetwork(primary, build_generator("film", **recipe.generator), select=select)
    return HyperNetwork(primary, build_generator("constant"))


def train(recipe: Recipe, images: Images, seed: int, batch_size: int = 16) -> HyperNetwork:
    """Train one network from scratch and return it (its averaged weights) in evaluation mode."""
    set_determinism(seed)
    network = build(recipe).to(memory_format=torch.channels_last)
    averaged = copy.deepcopy(network)
    total, first = recipe.total_steps, round(recipe.fixed_share * recipe.total_steps)
    optimizer, schedule = _optimizer(network, recipe, first if recipe.two_stages else total)
    loss = DiceCELoss(softmax=True, to_onehot_y=True, batch=True)
    draws = torch.Generator().manual_seed(seed)
    order = torch.empty(0, dtype=torch.long)
    for step in range(1, total + 1):
        if len(order) < batch_size:
            order = torch.cat([order, torch.randperm(len(images[0]), generator=draws)])
        if recipe.two_stages and step == first + 1:
            network.load_state_dict(averaged.state_dict())
            optimizer, schedule = _optimizer(network, recipe, total - first, recipe.base_rate)
        chosen, order = order[:batch_size], order[batch_size:]
        x, y = _augmented(images[0][chosen], images[1][chosen], draws)
        factors = _factors(recipe, step, seed)
        optimizer.zero_grad()
        for phi, part, truth in zip(factors, x.chunk(len(factors)), y.chunk(len(factors)), strict=True):
            value = loss(network(part, phi=phi), truth)
            if recipe.distillation and phi != 0.5:
                value = value + recipe.distillation * _distillation(network, part, phi)
            (value / len(factors)).backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), recipe.clip)
        optimizer.step()
        schedule.step()
        # The warm-up of the average: early weights must not linger.
        decay = min(recipe.averaging, step / (step + 10))
        with torch.no_grad():
            for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
                mean.lerp_(value, 1 - decay)
    return averaged.eval()


def dice(network: HyperNetwork, images: Images, phis: Sequence[float]) -> dict[float, list[float]]:
    """Return for every φ the mean Dice over the foreground classes of each image, by the folded network."""
    scores = {}
    for phi in phis:
        plain = network.fold(phi).to(memory_format=torch.channels_last)
        with torch.no_grad():
            batches = [plain(x.contiguous(memory_format=torch.channels_last)) for x in images[0].split(16)]
        found = torch.cat(batches).argmax(1, keepdim=True)
        pairs = zip(found, images[1], strict=True)
        scores[phi] = [case_score(METRICS["dice"](one, label, range(1, CLASSES))) or 0.0 for one, label in pairs]
    return scores


def _optimizer(network: HyperNetwork, recipe: Recipe, steps: int, base_rate: float = 1.0) -> tuple[Any, Any]:
    conditioned = [p for n, p in network.generator.named_parameters() if not n.endswith("base")]
    known = {id(p) for p in conditioned}
    rest = [p for p in network.parameters() if id(p) not in known]
    rates = [(rest, base_rate), (conditioned, recipe.head_rate)]
    groups: Any = [{"params": params, "lr": recipe.learning_rate * rate} for params, rate in rates if params]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99), fused=True)
    warmup = max(1, steps // 20)
    return optimizer, torch.optim.lr_scheduler.LambdaLR(
        optimizer, lambda k: min(1.0, (k + 1) / warmup) * 0.5 * (1 + math.cos(math.pi * k / steps))
    )


def _factors(recipe: Recipe, step: int, seed: int) -> list[float]:
    if recipe.method == "fixed":
        # As many parts as the others have, for a loss over parts is not that over the batch.
        return [float(FixedPhi(recipe.phi)(step))] * recipe.phis_per_step  # type: ignore[arg-type]
    if step <= recipe.fixed_share * recipe.total_steps:
        return [0.5]
    count = recipe.phis_per_step
    prior: PhiPrior = UniformPhi(recipe.low, 0.5, recipe.exponent, seed=seed)
    if recipe.choices:
        prior = ChoicePhi(recipe.choices, seed=seed)
    if count == 1:
        return [float(prior(step))]  # type: ignore[arg-type]
    uniform = UniformPhi(0.0, 1.0, seed=seed)
    u = float(uniform(step))  # type: ignore[arg-type]
    return [prior.quantile((k + u) / count) for k in range(count)]


def _augmented(x: torch.Tensor, y: torch.Tensor, draws: torch.Generator) -> Images:
    for axis in (2, 3):
        flip = (torch.rand(len(x), generator=draws) < 0.5)[:, None, None, None]
        x, y = torch.where(flip, x.flip(axis), x), torch.where(flip, y.flip(axis), y)
    return x.contiguous(memory_format=torch.channels_last), y


def _distillation(network: HyperNetwork, x: torch.Tensor, phi: float) -> torch.Tensor:
    with torch.no_grad():
        teacher = network(x, phi=0.5).softmax(1)
    return F.cross_entropy(network(x, phi=phi), teacher)

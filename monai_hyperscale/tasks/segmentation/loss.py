"""The segmentation loss of SSHN as a schedule (section 4.2): cross-entropy first, then soft Dice."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Union

import torch
import torch.nn as nn
from monai.losses import DeepSupervisionLoss, DiceCELoss
from monai.networks import one_hot


class CrossEntropyThenDice(nn.Module):
    """Cross-entropy, joined or replaced by soft Dice from a given epoch on; both are MONAI's ``DiceCELoss``.

    The background takes part in both, so that every voxel has exactly one label; it takes no part in evaluation.
    Networks with deep supervision return several logits in training, the finest first; they count 1, 1/2, 1/4 and so
    on, as in nnU-Net, divided by the sum of these.

    Args:
        switch_epoch: first epoch, counted from 1, that has the second pair of weights.
        before: weights of cross-entropy and soft Dice before.
        after: those from ``switch_epoch`` on. The paper's ``(0, 1)`` drops cross-entropy; keeping it trains more
            steadily on small data sets.
        batch: whether Dice sums over the batch before dividing, which labels absent from an image need.

    Example:
        >>> loss = CrossEntropyThenDice(switch_epoch=2)
        >>> round(float(loss(torch.zeros(1, 3, 4, 4), torch.zeros(1, 1, 4, 4))), 4)
        1.0986
    """

    def __init__(
        self,
        switch_epoch: int = 1,
        before: Sequence[float] = (1.0, 0.0),
        after: Sequence[float] = (1.0, 1.0),
        batch: bool = True,
    ) -> None:
        super().__init__()
        self.switch_epoch = switch_epoch
        self.epoch = 1
        self.parts = nn.ModuleList(
            DiceCELoss(softmax=True, batch=batch, lambda_ce=ce, lambda_dice=dice) for ce, dice in (before, after)
        )

    def forward(self, logits: Union[torch.Tensor, Sequence[torch.Tensor]], label: torch.Tensor) -> torch.Tensor:
        """Compare logits (B, classes, *sizes) with class indices (B, 1, *sizes) or shares (B, classes, *sizes).

        With deep supervision logits are a list of such tensors, or one tensor (B, outputs, classes, *sizes).
        """
        if isinstance(logits, torch.Tensor):
            outputs = list(logits.unbind(1)) if logits.dim() > label.dim() else [logits]
        else:
            outputs = list(logits)
        if label.shape[1] == 1:
            label = one_hot(label, outputs[0].shape[1])
        loss: Any = self.parts[int(self.epoch >= self.switch_epoch)]
        if len(outputs) == 1:
            return loss(outputs[0].float(), label)
        supervised = DeepSupervisionLoss(loss)
        return supervised(outputs, label) / sum(supervised.get_weights(len(outputs)))

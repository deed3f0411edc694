import pytest
import torch
import torch.nn.functional as F

from monai_hyperscale.tasks.segmentation.loss import CrossEntropyThenDice


def soft_dice_loss(logits, label, classes):
    """1 - the mean over classes of soft Dice, summed over the batch and space."""
    probabilities = logits.softmax(1)
    truth = F.one_hot(label[:, 0].long(), classes).movedim(-1, 1).float()
    axes = [0, *range(2, logits.dim())]
    overlap = (probabilities * truth).sum(axes)
    total = probabilities.sum(axes) + truth.sum(axes)
    return (1 - (2 * overlap + 1e-5) / (total + 1e-5)).mean()


@pytest.mark.parametrize("sizes", [(7, 5), (3, 4, 5)])
@pytest.mark.parametrize("after", [(1.0, 1.0), (0.0, 1.0)])
def test_values_before_and_after_the_switch(sizes, after):
    logits = torch.randn(2, 3, *sizes)
    label = torch.randint(0, 3, (2, 1, *sizes)).float()
    cross_entropy = F.cross_entropy(logits, label[:, 0].long())
    dice = soft_dice_loss(logits, label, 3)
    loss = CrossEntropyThenDice(switch_epoch=5, after=after)
    for epoch, expected in ((1, cross_entropy), (4, cross_entropy), (5, after[0] * cross_entropy + after[1] * dice)):
        loss.epoch = epoch
        torch.testing.assert_close(loss(logits, label), expected, atol=1e-5, rtol=1e-4)


def test_half_precision_logits_are_compared_in_float32():
    logits = torch.randn(1, 2, 4, 4).bfloat16()
    label = torch.ones(1, 1, 4, 4)
    value = CrossEntropyThenDice()(logits, label)
    assert value.dtype == torch.float32
    torch.testing.assert_close(value, CrossEntropyThenDice()(logits.float(), label))


def test_deep_supervision_counts_the_finest_most():
    loss = CrossEntropyThenDice(switch_epoch=1)
    label = torch.randint(0, 3, (2, 1, 8, 6)).float()
    maps = [torch.randn(2, 3, 8, 6), torch.randn(2, 3, 8, 6), torch.randn(2, 3, 8, 6)]
    expected = sum(weight * loss(logits, label) for weight, logits in zip((4 / 7, 2 / 7, 1 / 7), maps, strict=True))
    torch.testing.assert_close(loss(maps, label), expected)
    # As DynUNet returns them, one tensor (B, outputs, classes, *sizes).
    torch.testing.assert_close(loss(torch.stack(maps, 1), label), expected)
    torch.testing.assert_close(loss(maps[:1], label), loss(maps[0], label))


def test_coarse_logits_are_compared_with_the_label_at_their_size():
    loss = CrossEntropyThenDice(switch_epoch=9)
    label = torch.zeros(1, 1, 4, 4)
    label[:, :, :, 2:] = 1
    fine, coarse = torch.randn(1, 2, 4, 4), torch.randn(1, 2, 2, 2)
    expected = (2 * loss(fine, label) + loss(coarse, label[:, :, ::2, ::2])) / 3
    torch.testing.assert_close(loss([fine, coarse], label), expected)

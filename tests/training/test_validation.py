import numpy as np
import pytest
import torch
from ignite.engine import Engine
from monai.engines import SupervisedEvaluator
from monai.handlers import IgniteMetricHandler, from_engine

from monai_hyperscale.context import Context
from monai_hyperscale.inference import PhiInferer
from monai_hyperscale.search import metric_named
from monai_hyperscale.search.statistics import case_scores, interval
from monai_hyperscale.training import LabelDice, PhiValidation, evaluate_phis

NAN = float("nan")


class Threshold(torch.nn.Module):
    """Segments what is brighter than φ, so that Dice is known for every φ."""

    def forward(self, x, phi, regularization=1.0):
        return (x > regularization * (phi if isinstance(phi, float) else phi[0])).float()


def evaluator(inferer):
    image = torch.linspace(0, 0.95, 20).reshape(1, 4, 5)
    data = [{"image": image, "label": (image > threshold).float()} for threshold in (0.2, 0.6)]
    loader = torch.utils.data.DataLoader(data, batch_size=1)
    return SupervisedEvaluator(
        device="cpu",
        val_data_loader=loader,
        network=Threshold(),
        inferer=inferer,
        key_val_metric={"dice": IgniteMetricHandler(LabelDice([1]), output_transform=from_engine(["pred", "label"]))},
    )


def dice(phi, threshold):
    values = np.linspace(0, 0.95, 20, dtype=np.float32)
    a, b = values > np.float32(phi), values > np.float32(threshold)
    return 2 * (a & b).sum() / (a.sum() + b.sum())


@pytest.mark.parametrize(
    ("rows", "mean"), [([[0.5, NAN], [0.7, NAN]], 0.6), ([[1.0, NAN], [0.5, 0.0]], 0.625), ([[NAN]], 0.0)]
)
def test_a_case_counts_once_however_many_labels_it_has(rows, mean):
    dice = LabelDice([1, 2])
    dice.extend(torch.tensor(rows, dtype=torch.float64))
    assert dice.aggregate() == pytest.approx(mean)  # of the second not 0.5, the mean of the three
    of_results = {str(n): {str(m): None if v != v else v for m, v in enumerate(row)} for n, row in enumerate(rows)}
    assert (interval(case_scores(of_results)).mean or 0.0) == pytest.approx(mean)


def test_validation_measures_what_results_do():
    rng = torch.Generator().manual_seed(0)
    found, labels = ([torch.randint(0, 4, (1, *sizes), generator=rng) for sizes in ((9, 8), (7, 11))] for _ in "ab")
    labels[1][labels[1] == 3] = 0
    dice = LabelDice([1, 2, 3])
    rows = dice(found, labels)
    for each, label, row in zip(found, labels, rows, strict=True):
        wanted = metric_named("dice")(each, label, [1, 2, 3])
        assert [None if np.isnan(value) else value for value in row.tolist()] == wanted
    assert rows.isnan().tolist() == [[False] * 3, [False, False, True]]
    assert dice.aggregate() == pytest.approx((rows[0].mean() + rows[1, :2].mean()) / 2)


def test_validation_fills_the_trainers_metrics():
    inferer = PhiInferer()
    seen = []
    trainer = Engine(lambda engine, batch: seen.append(dict(engine.state.metrics)))
    PhiValidation(evaluator(inferer), inferer, [0.2, 0.6], interval=2).attach(trainer)
    trainer.run([0], max_epochs=3)
    metrics = trainer.state.metrics
    per_phi = [np.mean([dice(phi, 0.2), dice(phi, 0.6)]) for phi in (0.2, 0.6)]
    assert metrics["val_dice_phi_0.20"] == pytest.approx(per_phi[0], rel=1e-5)
    assert metrics["val_dice_phi_0.60"] == pytest.approx(per_phi[1], rel=1e-5)
    assert metrics["val_dice"] == pytest.approx(np.mean(per_phi), rel=1e-5)
    assert "val_dice" not in seen[1] and "val_dice" in seen[2]


def test_the_score_of_every_phi_and_context():
    inferer = PhiInferer(0.9)
    contexts = [Context(phi=0.5, regularization=weight) for weight in (0.2, 0.8)]
    found = evaluate_phis(evaluator(inferer), inferer, [0.1, 0.7, [0.3, 0.2], *contexts])
    factors = [0.1, 0.7, 0.3, 0.1, 0.4]  # the first level's, times the other number
    expected = [np.mean([dice(factor, 0.2), dice(factor, 0.6)]) for factor in factors]
    assert list(found) == [*map(Context.of, (0.1, 0.7, (0.3, 0.2))), *contexts] and inferer.context == {"phi": 0.9}
    assert list(found.values()) == pytest.approx(expected, rel=1e-5)
    trainer = Engine(lambda engine, batch: None)
    PhiValidation(evaluator(inferer), inferer, [(0.3, 0.2), contexts[1]]).attach(trainer)
    trainer.run([0], max_epochs=1)
    assert trainer.state.metrics["val_dice_phi_0.30_0.20"] == found[Context.of((0.3, 0.2))]
    assert trainer.state.metrics["val_dice_phi_0.50_regularization_0.80"] == found[contexts[1]]


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one phi"):
        PhiValidation(evaluator(PhiInferer()), PhiInferer(), [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        PhiValidation(evaluator(PhiInferer()), PhiInferer(), [1.2])

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
from monai_hyperscale.training.validation import PhiDice, dice_of


class Threshold(torch.nn.Module):
    """Segments what is brighter than φ, so that Dice is known for every φ."""

    def forward(self, x, phi, regularization=1.0):
        inside = (x > regularization * (phi if isinstance(phi, float) else phi[0])).float()
        return torch.cat([1 - inside, inside], 1)


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


def test_dice_of_every_phi_and_case():
    inferer = PhiInferer(0.9)
    for result in evaluate_phis(evaluator(inferer), inferer, [0.1, 0.3, 0.7], dice_of):
        expected = [[dice(result.phi, 0.2)], [dice(result.phi, 0.6)]]
        np.testing.assert_allclose(result.scores, expected, rtol=1e-5)
        assert result.mean == pytest.approx(np.mean(expected))
    assert inferer.context == {"phi": 0.9}


def test_labels_that_no_case_has_do_not_count():
    result = PhiDice(Context(phi=0.5), np.array([[0.5, np.nan], [0.7, np.nan]]))
    assert result.mean == pytest.approx(0.6)
    assert result.per_label[0] == pytest.approx(0.6) and np.isnan(result.per_label[1])
    assert PhiDice(Context(phi=0.5), np.array([[np.nan]])).mean == 0.0


def test_a_case_counts_once_however_many_labels_it_has():
    scores = [[1.0, np.nan], [0.5, 0.0]]
    assert PhiDice(Context(phi=0.5), np.array(scores)).mean == 0.625  # not 0.5, the mean of the three
    of_results = {"a": {"1": 1.0, "2": None}, "b": {"1": 0.5, "2": 0.0}}
    assert interval(case_scores(of_results)).mean == 0.625


def test_validation_measures_what_results_do():
    rng = torch.Generator().manual_seed(0)
    logits = [torch.rand(4, *sizes, generator=rng) for sizes in ((9, 8), (7, 11))]
    labels = [torch.randint(0, 4, (1, *each.shape[1:]), generator=rng) for each in logits]
    labels[1][labels[1] == 3] = 0
    dice = LabelDice([1, 2, 3])
    rows = dice(logits, labels)
    for each, label, row in zip(logits, labels, rows, strict=True):
        wanted = metric_named("dice")(each.argmax(0)[None], label, [1, 2, 3])
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


def test_one_factor_per_level():
    inferer = PhiInferer()
    results = evaluate_phis(evaluator(inferer), inferer, [0.5, [0.3, 0.2]], dice_of)
    assert [result.phi for result in results] == [0.5, (0.3, 0.2)]
    assert [result.name for result in results] == ["0.5", "0.3,0.2"]
    assert results[1].mean == pytest.approx(np.mean([dice(0.3, 0.2), dice(0.3, 0.6)]), rel=1e-5)
    trainer = Engine(lambda engine, batch: None)
    PhiValidation(evaluator(inferer), inferer, [(0.3, 0.2)]).attach(trainer)
    trainer.run([0], max_epochs=1)
    assert trainer.state.metrics["val_dice_phi_0.30_0.20"] == trainer.state.metrics["val_dice"]


def test_further_numbers_of_the_context_have_their_names():
    inferer = PhiInferer()
    validator = evaluator(inferer)
    contexts = [Context(phi=0.5, regularization=weight) for weight in (0.2, 0.8)]
    results = evaluate_phis(validator, inferer, contexts, dice_of)
    assert [result.name for result in results] == ["phi 0.5, regularization 0.2", "phi 0.5, regularization 0.8"]
    assert results[1].mean == pytest.approx(np.mean([dice(0.4, 0.2), dice(0.4, 0.6)]), rel=1e-5)
    trainer = Engine(lambda engine, batch: None)
    PhiValidation(validator, inferer, contexts).attach(trainer)
    trainer.run([0], max_epochs=1)
    assert trainer.state.metrics["val_dice_phi_0.50_regularization_0.80"] == results[1].mean


def test_bad_arguments():
    with pytest.raises(ValueError, match="at least one phi"):
        PhiValidation(evaluator(PhiInferer()), PhiInferer(), [])
    with pytest.raises(ValueError, match="between 0 and 1"):
        PhiValidation(evaluator(PhiInferer()), PhiInferer(), [1.2])

import pytest
import torch
from monai.engines import default_prepare_batch

from monai_hyperscale.errors import CheckpointError, ConfigError
from monai_hyperscale.tasks.segmentation.distillation import SoftenedLabels, softened_labels
from monai_hyperscale.tasks.segmentation.loss import CrossEntropyThenDice
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from tests.saved import save_network

SETTINGS = SegmentationSettings(2, ("MRI",), {1: "a", 2: "b"}, network={"features": (4, 4)}, phi_range=(0.1, 0.5))


@pytest.fixture
def teacher(tmp_path):
    return tmp_path, save_network(tmp_path, SETTINGS)


def batch(shares=False):
    label = torch.randint(3, (2, 1, 9, 7))
    if shares:
        label = torch.rand(2, 3, 9, 7).softmax(1)
    return {"image": torch.rand(2, 1, 9, 7), "label": label}


@pytest.mark.parametrize(("shares", "precision"), [(False, "fp32"), (True, "bf16")])
def test_targets_are_label_and_mean_prediction(teacher, shares, precision):
    folder, network = teacher
    data = batch(shares)
    prepare = softened_labels(folder, [0.2, 0.5], SETTINGS, precision)
    image, target = prepare(data, torch.device("cpu"))
    with torch.no_grad():
        predicted = [network.fold(phi).eval()(data["image"]).softmax(1) for phi in (0.2, 0.5)]
    label = data["label"] if shares else torch.nn.functional.one_hot(data["label"][:, 0], 3).movedim(-1, 1)
    wanted = ((predicted[0] + predicted[1]) / 2 + label) / 2
    torch.testing.assert_close(target, wanted, atol=1e-5 if precision == "fp32" else 1e-2, rtol=0)
    assert torch.equal(image, data["image"]) and torch.allclose(target.sum(1), torch.ones(2, 9, 7))
    # What the loss makes of it can be differentiated: the prediction was made without gradients.
    logits = torch.zeros(2, 3, 9, 7, requires_grad=True)
    CrossEntropyThenDice()(logits, target).backward()
    assert logits.grad.abs().sum() > 0


def test_several_teachers_count_alike(teacher, tmp_path):
    folder = tmp_path / "other"
    other = save_network(folder, SETTINGS, seed=1)
    data = batch()
    target = softened_labels([teacher[0], str(folder)], [0.2, 0.5], SETTINGS)(data)[1]
    with torch.no_grad():
        each = [net.fold(phi).eval()(data["image"]).softmax(1) for net in (teacher[1], other) for phi in (0.2, 0.5)]
    label = torch.nn.functional.one_hot(data["label"][:, 0], 3).movedim(-1, 1)
    torch.testing.assert_close(target, (torch.stack(each).mean(0) + label) / 2, atol=1e-5, rtol=0)


def test_what_is_no_folder_is_told_and_without_a_teacher_batches_are_as_ever():
    for named in ([], [None], 3, {"a": 1}):
        with pytest.raises(ConfigError, match="teacher must be a folder of a trained network or a list"):
            softened_labels(named, [0.5], SETTINGS)
    assert softened_labels(None, [0.5], SETTINGS) is default_prepare_batch


@pytest.mark.parametrize(
    ("settings", "phis", "word"),
    [
        (SegmentationSettings(2, ("MRI",), {1: "a"}), [0.5], "knows 3 classes"),
        (SegmentationSettings(2, ("T1", "T2"), {1: "a", 2: "b"}), [0.5], "takes 1 channels of 2D"),
        (SegmentationSettings(3, ("MRI",), {1: "a", 2: "b"}), [0.5], "of 3D images"),
        (SETTINGS, [0.05], "not trained for phi = 0.05"),
    ],
)
def test_another_network_is_told_in_one_sentence(teacher, settings, phis, word):
    with pytest.raises(ConfigError, match=word):
        softened_labels(teacher[0], phis, settings)


def test_missing_and_damaged_teachers_are_told(teacher, tmp_path):
    with pytest.raises(CheckpointError, match="nowhere"):
        softened_labels(tmp_path / "nowhere", [0.5], SETTINGS)
    (teacher[0] / "model.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="model.pt"):
        softened_labels(teacher[0], [0.5], SETTINGS)
    with pytest.raises(ValueError, match="a teacher is needed"):
        SoftenedLabels([])

"""Classification learns what the built-in images are classes of, and tells it on the command line."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from monai.bundle import ConfigWorkflow
from PIL import Image

from monai_hyperscale.bundle import build_network
from monai_hyperscale.cli.main import main
from monai_hyperscale.errors import DatasetError, FrontierError
from monai_hyperscale.search import open_workload, read_frontier
from monai_hyperscale.tasks import task_named
from monai_hyperscale.tasks.classification.data import SHAPES, read_classes, shape_image, write_shapes
from monai_hyperscale.tasks.classification.settings import ClassificationSettings

TASK = task_named("classification")
TRAIN = str(TASK.bundle / "configs" / "train.json")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training long enough to learn the shapes."""
    folder = tmp_path_factory.mktemp("shapes")
    short = {"val_phi": [0.2, 0.5], "max_epochs": 4, "val_interval": 4}
    flow = ConfigWorkflow(
        config_file=TRAIN, workflow_type="train", logging_file=False, output_dir=str(folder), device="cpu", **short
    )
    flow.initialize()
    flow.run()
    flow.finalize()
    return folder


def test_it_learns_the_shapes_at_every_phi(trained: Path) -> None:
    frontier = read_frontier(trained)
    assert frontier.metric == {"name": "accuracy", "higher_is_better": True} and len(frontier.data["cases"]) == 18
    assert frontier.rows[0].flops < frontier.rows[1].flops
    for row in frontier.rows:
        assert row.score.mean >= 0.6  # by chance it is a third


def test_scores_are_those_of_the_network(trained: Path) -> None:
    workload = open_workload(trained, trained / "synthetic_data", limit=6)
    run = workload.run(0.3)
    for index, name in enumerate(workload.names):
        shape = name.split("/")[0]
        result = workload.measure(index, run)
        image = np.asarray(Image.open(trained / "synthetic_data" / f"{name}.png"), dtype=np.float32).T
        x = torch.from_numpy((image - image.mean()) / image.std())[None, None]
        right = SHAPES[int(run(x)[0].argmax())] == shape
        assert result.scores == {str(n): float(right) if SHAPES[n] == shape else None for n in range(3)}


def test_classify_prints_the_class(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    files = [str(trained / "synthetic_data" / shape / f"image_00{n}.png") for n, shape in enumerate(SHAPES)]
    assert main(["classify", *files, "--bundle", str(trained), "--phi", "0.5", "--device", "cpu"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert sum(shape in line.split()[-2] for shape, line in zip(SHAPES, lines[-3:], strict=True)) >= 2
    assert all(1 / 3 <= float(line.split()[-1]) <= 1 for line in lines[-3:])


def test_a_folder_for_each_class(tmp_path: Path) -> None:
    found = read_classes(write_shapes(tmp_path / "two", cases=6, size=16))
    assert found.labels == dict(enumerate(SHAPES)) and found.spatial_dims == 2 and len(found.cases) == 6
    assert [case["class"] for case in found.cases] == [0, 0, 1, 1, 2, 2]
    with pytest.raises(DatasetError, match="at least two; 0 are there"):
        read_classes(tmp_path)
    with pytest.raises(FrontierError, match="scored by accuracy"):
        TASK.metric("dice")


def test_other_classes_are_refused(trained: Path, tmp_path: Path) -> None:
    data = write_shapes(tmp_path / "others", cases=6, size=16)
    (data / "ring").rename(data / "square")
    with pytest.raises(DatasetError, match="bar, disc, ring, .* has bar, disc, square"):
        open_workload(trained, data)


def test_place_and_contrast_do_not_tell_the_shape() -> None:
    means = {shape: np.mean([shape_image([1, n], shape)[:4].mean() for n in range(40)]) for shape in SHAPES}
    assert max(means.values()) - min(means.values()) < 0.05  # the border is alike
    with pytest.raises(ValueError, match="a shape is one of"):
        shape_image(0, "star")


@pytest.mark.parametrize("dims", [2, 3])
def test_one_score_for_each_class_at_any_size(dims: int) -> None:
    settings = ClassificationSettings(dims, ("grey",), {0: "a", 1: "b", 2: "c"}, network={"features": (4, 4)})
    network = build_network(settings).eval()
    for sizes in ((9, 7, 5), (1, 3, 4)):
        assert network(torch.rand(2, 1, *sizes[:dims]), phi=0.3).shape == (2, 3)


def test_metadata_names_the_classes() -> None:
    settings = ClassificationSettings(2, ("grey",), {0: "a", 1: "b"})
    content = json.loads((TASK.bundle / "configs" / "metadata.json").read_text())
    found = settings.metadata(content)
    assert found["label_classes"] == "0: a, 1: b"
    assert found["network_data_format"]["outputs"]["pred"]["num_channels"] == 2

import logging
import signal
import subprocess
import sys
from dataclasses import replace

import pytest
import torch
from ignite.engine import Engine

from monai_hyperscale.bundle import build_network, read_settings
from monai_hyperscale.errors import CheckpointError
from monai_hyperscale.io.files import PARTIAL
from monai_hyperscale.tasks.registration.settings import RegistrationSettings
from monai_hyperscale.tasks.segmentation.settings import SegmentationSettings
from monai_hyperscale.training import RunCheckpoint, best_weights, shipped_start, starting_network
from tests.saved import save_network

SETTINGS = SegmentationSettings(2, ("MRI",), {1: "a"}, network={"features": (2, 2)}, generator={"hidden": (3, 2)})


def run(folder, scores, resume=False, settings=SETTINGS, fingerprint=None):
    """Train nothing for one epoch per score; the weights change by one in every epoch."""
    network = build_network(settings)
    with torch.no_grad():
        network.generator.base.zero_()

    def step(engine, batch):
        with torch.no_grad():
            network.generator.base.add_(1.0)
        engine.state.metrics["val_dice"] = scores[engine.state.epoch - 1]

    engine = Engine(step)
    RunCheckpoint(folder, network, settings, {"network": network}, resume, fingerprint).attach(engine)
    engine.run([0], max_epochs=len(scores))
    return engine, network


def weight(folder, name="model.pt"):
    content = torch.load(folder / name, weights_only=True)
    return float(content.get("network", content)["generator.base"][0])


def test_best_and_last_are_kept(tmp_path):
    run(tmp_path, [0.3, 0.7, 0.5, float("nan"), float("inf")])
    assert (weight(tmp_path), weight(tmp_path, "last.pt")) == (2.0, 5.0)
    settings = read_settings(tmp_path / "model.json")
    assert settings.provenance["validation_dice"] == 0.7 and settings.provenance["epoch"] == 2
    stored = torch.load(tmp_path / "model.pt", weights_only=True)["generator.heads"]
    assert stored.dtype == torch.float16
    network = best_weights(build_network(settings), tmp_path)
    assert network.generator.base.dtype == torch.float32 and float(network.generator.base.detach()[0]) == 2.0


def test_resume_continues_progress_and_best(tmp_path):
    engine, _ = run(tmp_path, [0.3, 0.7], resume=True)  # nothing to resume
    assert engine.state.epoch == 2
    engine, network = run(tmp_path, [0.3, 0.7, 0.5, 0.6], resume=True)
    assert (engine.state.epoch, engine.state.iteration) == (4, 4)
    assert float(network.generator.base.detach()[0]) == 4.0
    assert weight(tmp_path) == 2.0  # 0.7 of the first run is still the best
    run(tmp_path, [0.3, 0.7, 0.5, 0.6, 0.8], resume=True)
    assert weight(tmp_path) == 5.0


def test_a_resume_with_other_options_is_one_sentence(tmp_path):
    run(tmp_path, [0.1], fingerprint={"seed": 0, "phi_range": [0, 0.5]})
    run(tmp_path, [0.1, 0.2], resume=True, fingerprint={"seed": 0, "phi_range": [0, 0.5]})
    with pytest.raises(CheckpointError, match=r"another phi_range \(\[0, 0.5\], not \[0, 1\]\)"):
        run(tmp_path, [0.1, 0.2, 0.3], resume=True, fingerprint={"seed": 0, "phi_range": [0, 1]})
    other = SegmentationSettings(2, ("MRI",), {1: "a"}, network={"features": (4, 2)}, generator={"hidden": (3, 2)})
    with pytest.raises(CheckpointError, match="other settings"):
        run(tmp_path, [0.1, 0.2], resume=True, settings=other)


def test_damaged_missing_and_other_weights_are_refused(tmp_path):
    network = build_network(SETTINGS)
    with pytest.raises(CheckpointError, match="no weights"):
        best_weights(network, tmp_path)
    torch.save(torch.nn.Linear(2, 3).state_dict(), tmp_path / "model.pt")
    with pytest.raises(CheckpointError, match=r"another network \(size mismatch for weight: .*\[3, 2\]") as raised:
        best_weights(torch.nn.Linear(4, 3), tmp_path)
    assert "\n" not in str(raised.value)
    run(tmp_path, [0.1])
    whole = (tmp_path / "model.pt").read_bytes()
    (tmp_path / "model.pt").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CheckpointError, match="damaged"):
        best_weights(network, tmp_path)
    (tmp_path / "last.pt").write_bytes(b"")
    with pytest.raises(CheckpointError, match="damaged"):
        run(tmp_path, [0.1, 0.2], resume=True)


def test_a_failed_save_leaves_the_previous_checkpoint(tmp_path, monkeypatch):
    run(tmp_path, [0.1])
    before = (tmp_path / "last.pt").read_bytes()

    def die_halfway(content, path):
        path.write_bytes(before[: len(before) // 2])
        raise KeyboardInterrupt

    monkeypatch.setattr(torch, "save", die_halfway)
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path, [0.1, 0.2], resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["last.pt", "model.json", "model.pt"]


def test_an_earlier_run_is_set_aside_and_leftovers_are_removed(tmp_path):
    folder = tmp_path / "models"
    run(folder, [0.1, 0.2])
    (folder / f"{PARTIAL}abc.pt").write_bytes(b"left by a kill")
    run(folder, [0.1])
    (folder / "last.pt").unlink()  # weights alone are set aside too
    run(folder, [0.1])
    assert weight(folder) == 1.0
    assert [weight(tmp_path / f"models.previous-{n}") for n in (1, 2)] == [2.0, 1.0]
    assert sorted(path.name for path in folder.iterdir()) == ["last.pt", "model.json", "model.pt"]


def test_a_kill_during_a_write_leaves_the_previous_checkpoint(tmp_path):
    run(tmp_path, [0.1])
    before = (tmp_path / "last.pt").read_bytes()
    program = (
        "import os, signal, sys, torch\n"
        "from monai_hyperscale.io import save_atomically\n"
        "def die_halfway(content, path):\n"
        "    path.write_bytes(b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)\n"
        "torch.save = die_halfway\n"
        "save_atomically({}, sys.argv[1])\n"
    )
    killed = subprocess.run([sys.executable, "-c", program, str(tmp_path / "last.pt")], check=False)
    assert killed.returncode == -signal.SIGKILL
    assert (tmp_path / "last.pt").read_bytes() == before
    engine, _ = run(tmp_path, [0.1, 0.2], resume=True)
    assert engine.state.epoch == 2


def test_a_training_starts_from_shipped_weights_that_fit(tmp_path, caplog):
    settings = RegistrationSettings(
        2, ("MRI",), network={"features": (4, 4)}, head_features=4, provenance={"data": "Atlas"}
    )
    assert shipped_start(settings, tmp_path) is None  # no weights
    save_network(tmp_path, settings)
    with caplog.at_level(logging.INFO):
        # What does not change the weights may differ.
        assert shipped_start(replace(settings, passes=2, phi_range=(0.1, 0.4)), tmp_path) == tmp_path
    assert "the bundle's own weights, trained on Atlas" in caplog.text
    for other in (
        replace(settings, spatial_dims=3),
        replace(settings, channels=("T1", "T2")),
        replace(settings, network={"features": (4, 4), "norm": "instance"}),
        replace(settings, head_features=5),
        replace(settings, generator={"hidden": (7, 3)}),
        replace(settings, regularization=(0.0, 1.0)),
        replace(settings, method="fixed", generator={"name": "constant"}),
    ):
        assert shipped_start(other, tmp_path) is None


def test_a_start_from_a_training_tells_what_it_reused(tmp_path, caplog):
    earlier = save_network(tmp_path / "models", SETTINGS)
    with caplog.at_level(logging.INFO):
        network = starting_network(SETTINGS, tmp_path)  # the folder of the training stands for its models
    for name, value in network.state_dict().items():
        torch.testing.assert_close(value, earlier.state_dict()[name], atol=0, rtol=0)
    count = len(network.state_dict())
    assert caplog.messages == [f"Tensors from {tmp_path / 'models' / 'model.pt'}: {count} of {count} reused."]


def test_a_start_from_one_set_of_weights_tells_what_is_new(tmp_path, caplog):
    earlier = save_network(tmp_path / "models", replace(SETTINGS, method="fixed", generator={"name": "constant"}))
    with caplog.at_level(logging.INFO):
        network = starting_network(SETTINGS, tmp_path / "models")
    torch.testing.assert_close(network.generator.base, earlier.generator.base, atol=0, rtol=0)
    (told,) = caplog.messages
    first, *rest = told.splitlines()
    values = len(earlier.primary.state_dict()) + len(earlier.generate(0.5))
    new = [name for name, _ in network.generator.named_parameters() if name != "base"]
    assert first == f"Tensors from {tmp_path / 'models' / 'model.pt'}: {values} of {values + len(new)} reused."
    assert rest[0].strip() == f"{len(new)} fresh:" and "generator.heads" in rest[1] and "starts anew" in rest[1]

"""Bundles run as MONAI runs them, as small as it goes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from monai.bundle import ConfigWorkflow

from monai_hyperscale.bundle import default_bundle

BUNDLES = {name: default_bundle(name) for name in ("sshn_seg", "sshn_reg")}
SMALL: dict[str, dict[str, Any]] = {
    "sshn_seg": {"synthetic": {"cases": 8, "size": 20}},
    "sshn_reg": {"synthetic": {"pairs": 5, "size": 16}, "head_features": 4, "split": [0.6, 0.2, 0.2]},
}
for options in SMALL.values():
    options |= {
        "max_epochs": 2,
        "iterations_per_epoch": 2,
        "val_interval": 1,
        "val_phi": [0.2, 0.5],
        "network::features": [4, 4],
        "batch_size": 2,
        "num_workers": 0,
        "device": "cpu",
    }
KINDS = {"volumes": [], "slices": ["slices"], "images": ["images"]}


def of(bundle: str, *kinds: str) -> pytest.MarkDecorator:
    """Let a test run on some of the trainings of the fixture ``trained``."""
    return pytest.mark.parametrize("trained", [(bundle, kind) for kind in kinds or KINDS], indirect=True, ids="-".join)


def config(bundle: str, name: str = "train") -> str:
    return str(BUNDLES[bundle] / "configs" / f"{name}.json")


def workflow(bundle: str, *names: str, kind: str = "train", **overrides: Any) -> ConfigWorkflow:
    files = [config(bundle, name) for name in names or ("train",)]
    logging = str(BUNDLES[bundle] / "configs" / "logging.conf")
    return ConfigWorkflow(config_file=files, workflow_type=kind, logging_file=logging, **overrides)


def run(bundle: str, *names: str, **overrides: Any) -> list[str]:
    """Run a configuration to its end; return the properties that it lacks."""
    flow = workflow(bundle, *names, **overrides)
    flow.initialize()
    flow.run()
    flow.finalize()
    return list(flow.check_properties() or [])


def train(bundle: str, folder: Path, *names: str, **overrides: Any) -> None:
    run(bundle, "train", *names, **{**SMALL[bundle], "output_dir": str(folder), **overrides})


def process(bundle: str, folder: Path, *names: str, processes: int = 0, **overrides: Any) -> subprocess.Popen[str]:
    """Start a training as a user does, in a group of processes of its own."""
    options = {**SMALL[bundle], **overrides}
    pairs = [f"--{name.replace('::', '#')}={value}" for name, value in options.items()]
    files = "['" + "','".join(config(bundle, name) for name in ("train", *names)) + "']"
    launcher = ["torch.distributed.run", "--standalone", f"--nproc_per_node={processes}", "-m"] if processes else []
    return subprocess.Popen(
        [sys.executable, "-m", *launcher, "monai.bundle", "run", f"--config_file={files}", f"--output_dir={folder}"]
        + pairs,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def finished(started: subprocess.Popen[str]) -> str:
    """Wait for a process that is to end well; return what it has said."""
    output = started.communicate(timeout=300)[0]
    assert started.returncode == 0, output[-3000:]
    return output


def kill(started: subprocess.Popen[str]) -> None:
    # Its workers with it: one that was just forked would never notice, and hold the pipe open forever.
    os.killpg(started.pid, signal.SIGKILL)
    started.communicate(timeout=60)

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import pytest

from monai_hyperscale.bundle import NetworkSettings, read_settings
from monai_hyperscale.data import write_synthetic_dataset
from monai_hyperscale.tasks.registration.synthetic_pairs import write_synthetic_pairs
from tests.bundle.workflows import KINDS, SMALL, run


class Trained(NamedTuple):
    """A training of a bundle that has ended: which, where, and what MONAI misses of it."""

    bundle: str
    kind: str
    folder: Path
    missing: list[str]

    @property
    def data(self) -> Path:
        return self.folder / ("synthetic_data" if self.bundle == "sshn_seg" else "synthetic_pairs")

    @property
    def dims(self) -> int:
        return 3 if self.kind == "volumes" else 2

    @property
    def settings(self) -> NetworkSettings:
        return read_settings(self.folder / "models" / "model.json")


@pytest.fixture(scope="session", params=[(bundle, kind) for bundle in SMALL for kind in KINDS], ids="-".join)
def trained(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """Return a training of each bundle on each kind of data; nothing may be written in its folder."""
    bundle, kind = request.param
    found = Trained(bundle, kind, tmp_path_factory.mktemp(f"{bundle}_{kind}"), [])
    options = {**SMALL[bundle], "output_dir": str(found.folder)}
    if kind == "slices":  # what a 2D network makes of volumes
        more = {"displacement": 0.1, "in_plane": True} if bundle == "sshn_reg" else {}
        write = write_synthetic_pairs if bundle == "sshn_reg" else write_synthetic_dataset
        options["dataset_dir"] = str(write(found.data, 3, **SMALL[bundle]["synthetic"], **more))
    found.missing.extend(run(bundle, "train", *KINDS[kind], **options))
    return found


@pytest.fixture(autouse=True)
def _undrawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leave out figures and pages, most of a small training's time; those of ``trained`` are drawn before."""
    for name in ("write_figures", "write_report"):
        monkeypatch.setattr(f"monai_hyperscale.report.{name}", lambda *_, **__: [])

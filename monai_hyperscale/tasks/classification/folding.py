"""What a folded classification network is compared on."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Optional

from monai_hyperscale.export.folding import ImageFolding
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.tasks.classification.data import read_classes
from monai_hyperscale.tasks.classification.settings import ClassificationSettings

__all__ = ["ClassificationFolding"]


class ClassificationFolding(ImageFolding[ClassificationSettings]):
    """Images prepared as in training, see :class:`Folding`."""

    def test_case(self, dataset_dir: Path, bundle: Optional[Path] = None) -> tuple[str, list[Any]]:
        found = read_classes(dataset_dir)
        check_kind(self.settings, found, dataset_dir)
        case = cases_of_part(found.cases, self.settings.provenance, dataset_dir.expanduser().resolve().name, "test")[0]
        return str(case["name"]), [case["image"]]

    def stock_bundle(self) -> str:
        return "classes are not written by it yet; the TorchScript file beside it runs without this package"

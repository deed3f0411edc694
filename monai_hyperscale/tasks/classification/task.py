"""The task of classification, as the rest of the package asks for it."""

from __future__ import annotations

from typing import Any, Optional

from monai_hyperscale.errors import FrontierError
from monai_hyperscale.tasks.base import TRIAL, Task, lazy


class Classification(Task):
    """One class for every image."""

    scores = ("accuracy",)
    trial = {**TRIAL, "synthetic": {"cases": 12, "size": 20}}
    commands = {"classify": "monai_hyperscale.tasks.classification.classify:classify"}
    settings = lazy("settings:ClassificationSettings")
    training_options = lazy("data:ClassificationOptions")
    inference_options = lazy("data:InferenceOptions")
    workload = lazy("workload:ClassificationWorkload")
    folding = lazy("workload:ClassificationFolding")
    cards = lazy("pictures:classification_cards")

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Any:
        from monai_hyperscale.tasks.classification.workload import ACCURACY

        if name not in (None, ACCURACY.key) or tolerance is not None:
            raise FrontierError(f"classes are scored by {ACCURACY.key}, without a tolerance, got {name or tolerance}.")
        return ACCURACY

    def prediction_shape(self, sizes: tuple[int, ...]) -> None:
        # As many probabilities as classes.
        return None


TASK = Classification()

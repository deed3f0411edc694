"""The task of registration, as the rest of the package asks for it."""

from __future__ import annotations

from typing import Any, Optional

from monai_hyperscale.tasks.base import LABEL_SCORES, TRIAL, Column, Task, lazy


class Registration(Task):
    """A displacement field from one image to another."""

    case_noun = "pair"
    shown = ("moving", "fixed")
    columns = (Column("before", "Before"), Column("folded", "Folded", share=True, higher_is_better=False))
    scores = (*LABEL_SCORES, "correlation")
    trial = {**TRIAL, "head_features": 4, "synthetic": {"pairs": 5, "size": 16}, "split": [0.6, 0.2, 0.2]}
    commands = {
        "register": "monai_hyperscale.tasks.registration.register:register",
        "apply-field": "monai_hyperscale.tasks.registration.apply_field:apply_field",
    }
    bundle_name = "sshn_reg"
    settings = lazy("settings:RegistrationSettings")
    training_options = lazy("options:RegistrationOptions")
    inference_options = lazy("options:RegistrationInferenceOptions")
    workload = lazy("workload:RegistrationWorkload")
    folding = lazy("folding:RegistrationFolding")
    cards = lazy("pictures:registration_cards")

    def metric(self, name: Optional[str] = None, tolerance: Optional[float] = None) -> Any:
        # None is the correlation of the images, which needs no labels.
        return None if name == "correlation" else super().metric(name, tolerance)

    def trained_score(self, settings: Any) -> Optional[str]:
        return None if settings.labels else "correlation"

    def prediction_shape(self, sizes: tuple[int, ...]) -> tuple[int, ...]:
        # In voxels, from the fixed image to the moving one.
        return (len(sizes), *sizes)


TASK = Registration()

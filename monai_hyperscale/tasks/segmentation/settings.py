"""What a trained segmentation network is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Optional

from pydantic import Field, model_validator

from monai_hyperscale.bundle.network_settings import NetworkSettings


@dataclass(frozen=True)
class SegmentationSettings(NetworkSettings):
    """A trained segmentation network's architecture, data and range of φ.

    Args:
        labels: name of every class index but the background's, 0.
        label_values: value of every class index, background included, in the label files it was trained on and
            writes; ``None`` where they are the indices.
        roi_size: window of sliding-window inference for images too large to go through whole, or ``None``.
        others: see :class:`NetworkSettings`.
    """

    task: ClassVar[str] = "segmentation"

    labels: Annotated[dict[Annotated[int, Field(ge=1)], str], Field(min_length=1)]
    label_values: Optional[tuple[int, ...]] = None
    roi_size: Optional[tuple[int, ...]] = None

    @property
    def out_channels(self) -> int:
        # The background and every label up to the greatest.
        return 1 + max(self.labels)

    @property
    def values(self) -> tuple[int, ...]:
        """Value in label maps of every class index, background first."""
        return self.label_values or tuple(range(self.out_channels))

    @property
    def value_names(self) -> dict[int, str]:
        """Name of every value in label maps, without background."""
        return {self.values[index]: name for index, name in sorted(self.labels.items())}

    def facts(self) -> dict[str, Any]:
        labels = {str(value): name for value, name in sorted(self.value_names.items())}
        return {"labels": labels, "roi_size": None if self.roi_size is None else list(self.roi_size)}

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        content = super().metadata(content)
        names = {0: "background", **self.labels}
        data_format = content["network_data_format"]
        data_format["inputs"]["image"]["channel_def"] = {str(i): name for i, name in enumerate(self.channels)}
        classes = range(self.out_channels)
        data_format["outputs"]["pred"]["channel_def"] = {str(i): names.get(i, "unused") for i in classes}
        return {
            **content,
            "eval_metrics": {"mean_dice": self.provenance.get("validation_dice", 0)},
            "label_classes": ", ".join(f"{self.values[index]}: {name}" for index, name in names.items()),
            "pred_classes": f"{self.out_channels} channels of logits",
        }

    @model_validator(mode="after")
    def _a_value_for_every_class(self) -> SegmentationSettings:
        if self.label_values is not None and len(self.label_values) != self.out_channels:
            raise ValueError(f"label_values must name {self.out_channels} values, got {list(self.label_values)}")
        return self

"""What a trained segmentation network is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Optional

from monai_hyperscale.bundle.network_settings import NetworkSettings

__all__ = ["SegmentationSettings"]


@dataclass(frozen=True)
class SegmentationSettings(NetworkSettings):
    """A trained segmentation network's architecture, data and range of φ.

    Args:
        spatial_dims: 2 or 3, of the network.
        channels: name of every input channel, such as ``("MRI",)``; they choose the intensity preprocessing.
        labels: name of every class index but the background's, 0.
        label_values: value of every class index, background included, in the label files it was trained on and
            writes; ``None`` where they are the indices.
        roi_size: window of sliding-window inference for images too large to go through whole, or ``None``.
        others: see :class:`NetworkSettings`.
    """

    task: ClassVar[str] = "segmentation"

    labels: dict[int, str]
    label_values: Optional[tuple[int, ...]] = None
    roi_size: Optional[tuple[int, ...]] = None

    @property
    def out_channels(self) -> int:
        """Channels of the logits: the background and every label up to the greatest value."""
        return 1 + max(self.labels)

    def metadata(self, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return a bundle's ``metadata.json`` for this network, see :class:`NetworkSettings`."""
        content = super().metadata(content)
        names = {0: "background", **self.labels}
        data_format = content["network_data_format"]
        data_format["inputs"]["image"]["channel_def"] = {str(i): name for i, name in enumerate(self.channels)}
        classes = range(self.out_channels)
        data_format["outputs"]["pred"]["channel_def"] = {str(i): names.get(i, "unused") for i in classes}
        files = self.label_values or tuple(classes)
        return {
            **content,
            "eval_metrics": {"mean_dice": self.provenance.get("validation_dice", 0)},
            "label_classes": ", ".join(f"{files[index]}: {name}" for index, name in names.items()),
            "pred_classes": f"{self.out_channels} channels of logits",
        }

    @classmethod
    def values(cls, content: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments that the content of ``model.json`` means, see :class:`NetworkSettings`."""
        labels = {int(value): str(name) for value, name in content["labels"].items()}
        if not labels or min(labels) < 1:
            raise ValueError(f"labels must name values of 1 and more, got {labels}")
        if content.get("label_values") is not None and len(content["label_values"]) != 1 + max(labels):
            raise ValueError(f"label_values must name {1 + max(labels)} values, got {content['label_values']}")
        values = {**super().values(content), "labels": labels}
        for name in ("roi_size", "label_values"):
            values[name] = None if values.get(name) is None else tuple(values[name])
        return values

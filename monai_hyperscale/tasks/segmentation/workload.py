"""Segmentation networks measured on labelled images: read and prepared once, segmented at every φ."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Union

import numpy as np
import torch
from monai.data import MetaTensor

from monai_hyperscale.data import read_dataset, segmentation_preprocessing
from monai_hyperscale.data.check import tell_places
from monai_hyperscale.errors import DatasetError
from monai_hyperscale.inference.devices import measured, stage, timed
from monai_hyperscale.inference.folded import FoldedInference, LabelInference
from monai_hyperscale.inference.regridding import label_on_grid
from monai_hyperscale.io.images import image_source, read_image
from monai_hyperscale.io.labels import write_label
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.search.cases import cases_of_part, check_kind
from monai_hyperscale.search.workload import CaseResult, Workload, WorkloadOptions, case_errors
from monai_hyperscale.tasks.segmentation.pipelines import evaluation_preprocessing
from monai_hyperscale.tasks.segmentation.segmenter import Segmenter

# Bytes of prepared cases that are kept in memory; what is beyond is prepared anew for every φ.
_KEPT = 2**32


class SegmentationWorkload(Workload):
    """A segmentation network and labelled cases, compared on the grid of the label files.

    What is run, timed and weighed is what :class:`Segmenter` does from the prepared image to the label map: an image of
    more than ``max_voxels`` never has its logits in memory as a whole.
    """

    def __init__(
        self, bundle: Union[str, Path], dataset_dir: Union[str, os.PathLike], options: WorkloadOptions
    ) -> None:
        options.refuse("pairs", "atlas", "atlas_label", other="registration networks")
        max_voxels = options.max_voxels
        self.segmenter = Segmenter.from_bundle(bundle, options.device, max_voxels=max_voxels, force=True)
        settings = self.segmenter.settings
        super().__init__(bundle, dataset_dir, options, settings)
        dataset = read_dataset(dataset_dir)
        values = list(settings.values)
        check_kind(settings, dataset, dataset_dir)
        if list(dataset.label_values) != values:
            raise DatasetError(
                f"the network was trained for the label values {values}, {dataset_dir} has "
                f"{list(dataset.label_values)}; name data with the same labels."
            )
        self._cases = cases_of_part(dataset.cases, settings.provenance, self.title, self.part)[: options.limit]
        tell_places(self._cases)
        self.names = [str(case["name"]) for case in self._cases]
        self.labels = {str(value): name for value, name in settings.value_names.items()}
        self.choices = {"metric": self.metric.key, "tolerance": self.metric.tolerance, "max_voxels": max_voxels}
        shared = (settings.channels, settings.spatial_dims, settings.spacing)
        more: dict[str, Any] = {"slices": settings.slices, "label_values": values, "seen": settings.seen}
        self._preprocessing = evaluation_preprocessing(*shared, **more)
        self._shown = segmentation_preprocessing(*shared, **more, force=True)
        self._prepared: dict[int, dict[str, Any]] = {}
        self._bytes = 0

    def run(self, phi: Phi) -> LabelInference:
        return LabelInference(self.segmenter.fold(phi), self.segmenter.inferer)

    def network_input(self, index: int) -> torch.Tensor:
        image: torch.Tensor = self._case(index)["image"].as_tensor()
        return image[None].to(self.device)

    def measure(self, index: int, run: FoldedInference) -> CaseResult:
        case = self._case(index)
        reference = case["label"].as_tensor()
        predicted = self._label_map(case["image"], run)
        if predicted.shape != reference.shape:
            raise DatasetError(
                f"the label map of {self.names[index]} has shape {list(reference.shape[1:])}, its image "
                f"{list(predicted.shape[1:])}; they must be on one grid."
            )
        spacing = None
        if isinstance(case["label"], MetaTensor) and self.settings.file_dims == 3:
            spacing = [float(step) for step in case["label"].pixdim]
        classes = sorted(self.segmenter.settings.labels)
        scores = self.metric(predicted, reference, classes, spacing)
        volumes = self.volumes(reference, classes, spacing)
        return CaseResult(dict(zip(self.labels, scores, strict=True)), volumes=volumes)

    def example(
        self, index: int, runs: Mapping[tuple[float, ...], FoldedInference]
    ) -> tuple[dict[str, np.ndarray], dict[tuple[float, ...], np.ndarray]]:
        # In RAS order, on the network's grid.
        with case_errors(self.names[index]):
            shown = self._shown(self._cases[index])
        values = np.asarray(self.settings.values)
        images = {"image": shown["image"].as_tensor()[0].numpy(), "label": values[shown["label"][0].long().numpy()]}
        batch = shown["image"].as_tensor()[None].to(self.device)
        return images, {phi: values[run(batch)[0].numpy()] for phi, run in runs.items()}

    def stages(self, phi: Phi) -> dict[str, float]:
        image = self._cases[0]["image"]
        self.segmenter.fold(phi)
        whole: dict[str, float] = {}
        with timed(whole, "total"), TemporaryDirectory() as folder, case_errors(self.names[0]), measured() as seconds:
            with stage("reading"):
                voxels = read_image([image] if isinstance(image, str) else image, self.settings.in_channels)
            label = self.segmenter.segment(voxels, phi)
            with stage("writing"):
                suffix = ".png" if image_source(voxels).is_picture else ".nii.gz"
                write_label(label, Path(folder) / f"label{suffix}", voxels)
        return {**seconds, "other": max(0.0, whole["total"] - sum(seconds.values()))}

    def _label_map(self, image: MetaTensor, run: FoldedInference) -> torch.Tensor:
        """Return class indices (1, *sizes of the file)."""
        found = run(image.as_tensor()[None].to(self.device))[0]
        if self.settings.file_dims == 2:
            return found[None]
        affine, target = (np.asarray(each, dtype=float) for each in (image.affine, image.meta["original_affine"]))
        sizes = [int(n) for n in image.meta["spatial_shape"]]
        return torch.from_numpy(label_on_grid(found, affine, target, sizes))[None]

    def _case(self, index: int) -> dict[str, Any]:
        if index in self._prepared:
            return self._prepared[index]
        with case_errors(self.names[index]):
            case = self._preprocessing(self._cases[index])
        size = sum(case[key].numel() * case[key].element_size() for key in ("image", "label"))
        if self._bytes + size <= _KEPT:
            self._prepared[index] = case
            self._bytes += size
        return case

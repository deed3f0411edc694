"""What the bundle's configs name around MONAI's engines: pairs in, one λ, what is measured, and pairs registered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from ignite.engine import Events
from monai.engines import PrepareBatch
from monai.metrics import Cumulative

from monai_hyperscale.io import image_source, read_image
from monai_hyperscale.io.labels import write_image
from monai_hyperscale.networks.layers.factor import Phi
from monai_hyperscale.registration import warp
from monai_hyperscale.search.metrics import METRICS, correlation
from monai_hyperscale.tasks.registration.pair_files import PathLike, read_pairs
from monai_hyperscale.tasks.registration.registrar import Registrar
from monai_hyperscale.training.handlers import Handler, mean_of_rows


class PreparePair(PrepareBatch):
    """Make what MONAI's engines expect of a batch of pairs: the network's input, and what the loss compares.

    Example:
        >>> batch = {"moving": torch.rand(2, 1, 9, 7), "fixed": torch.rand(2, 1, 9, 7), "name": ["a to b", "b to a"]}
        >>> images, target = PreparePair()(batch)
        >>> images.shape, sorted(target)
        (torch.Size([2, 2, 9, 7]), ['fixed', 'moving'])
    """

    def __call__(
        self,
        batchdata: Mapping[str, Any],
        device: str | torch.device | None = None,
        non_blocking: bool = False,
        **kwargs: Any,
    ) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        """Return images (B, 2C, *sizes), the moving one's channels first, and the batch's tensors by name."""
        target = {
            name: value.to(device=device, non_blocking=non_blocking, **kwargs)
            for name, value in batchdata.items()
            if isinstance(value, torch.Tensor)
        }
        return torch.cat([target["moving"], target["fixed"]], dim=1), target


class RegularizationWeight(Handler):
    """Set the loss's weight of smoothness to the λ of the iteration, which the generator sees too (HyperMorph)."""

    event = Events.ITERATION_STARTED  # attach after :class:`PhiSampler`

    def __init__(self, loss: Any) -> None:
        self.loss = loss

    def __call__(self, engine: Any) -> None:
        (context,) = engine.state.contexts
        self.loss.weight = context.get("regularization", self.loss.weight)


class PairMeasures(Cumulative):
    """Measure predicted fields, one row per pair: by their known displacement, else by labels, else by correlation.

    The score is ``error_removed``, the share of the error of no displacement that is gone, else ``dice``, else
    ``correlation``. Rows hold ``error_before`` and ``error``, the mean end-point error in voxels of no displacement and
    of the field; or ``dice NAME`` of every label, warped to the nearest; or :func:`correlation` after warping.

    Example:
        >>> label = torch.zeros(1, 1, 9, 7)
        >>> label[..., 2:5, 2:5] = 1
        >>> pair = {"moving": label, "fixed": label, "moving_label": label, "fixed_label": label}
        >>> PairMeasures({1: "disc"})(torch.zeros(1, 2, 9, 7), pair)
        tensor([[1.]], dtype=torch.float64)
    """

    def __init__(self, labels: Mapping[int, str], known_fields: bool = False) -> None:
        super().__init__()
        self.labels = dict(sorted(labels.items()))
        self.known_fields = known_fields
        self.score = "error_removed" if known_fields else "dice" if self.labels else "correlation"
        dice = tuple(f"dice {name}" for name in self.labels.values())
        self.names = ("error_before", "error") if known_fields else dice or ("correlation",)

    def __call__(self, fields: torch.Tensor, pairs: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """Measure and keep fields (B, D, *sizes), voxels; return (B, measures), float64, in the order of ``names``."""
        rows = [
            self._measure(field[None], {name: value[index, None] for name, value in pairs.items()})
            for index, field in enumerate(fields.detach().float())
        ]
        values = [[float("nan") if value is None else value for value in row] for row in rows]
        found = torch.tensor(values, dtype=torch.float64)
        self.extend(found)
        return found

    def aggregate(self, reduction: Any = None) -> torch.Tensor:
        """Return the score over all rows kept: the greater, the better; 0 where no row has a value."""
        rows = torch.as_tensor(self.get_buffer())
        if self.known_fields:
            before, error = (mean_of_rows(rows[:, [column]]) for column in (0, 1))
            return torch.tensor(1 - error / max(before, 1e-12), dtype=torch.float64)
        return torch.tensor(mean_of_rows(rows), dtype=torch.float64).nan_to_num()

    def _measure(self, field: torch.Tensor, pair: Mapping[str, torch.Tensor]) -> list[float | None]:
        if self.known_fields:
            known = pair["field"].float()
            return [float(torch.linalg.vector_norm(other, dim=1).mean()) for other in (known, field - known)]
        if self.labels:
            moved = warp(pair["moving_label"].float(), field, mode="nearest")
            return METRICS["dice"](moved[0].round().long(), pair["fixed_label"][0].long(), list(self.labels))
        return [correlation(warp(pair["moving"].float(), field)[0], pair["fixed"][0])]


def pairs_to_register(
    dataset_dir: PathLike | None, pairs: PathLike | None = None, atlas: PathLike | None = None
) -> list[dict[str, Any]]:
    """Return the pairs that inference runs over, as a MONAI data list, see :func:`read_pairs`; none without a folder.

    Each is ``{"moving": files, "fixed": files, "name": "a_to_b"}``.
    """
    if dataset_dir is None:
        return []
    return [
        {
            "moving": pair["moving"]["image"],
            "fixed": pair["fixed"]["image"],
            "name": f"{pair['moving']['name']}_to_{pair['fixed']['name']}",
        }
        for pair in read_pairs(dataset_dir, pairs, atlas).pair_list
    ]


class RegisterPair:
    """Register one pair of files and write the moved image and the field: an iteration of MONAI's evaluator.

    ``a_to_b.nii.gz`` (``.png`` for 2D image files) is image a on the grid of b, and ``a_to_b_field.nii.gz`` the field
    that takes it there, in ITK's convention. ``options`` are those of :meth:`Registrar.register`.
    """

    def __init__(self, registrar: Registrar, phi: Phi, output_dir: str | Path, **options: Any) -> None:
        self.registrar = registrar
        self.options = {"phi": phi, **options}
        self.output_dir = Path(output_dir)

    def __call__(self, engine: Any, pair: Mapping[str, Any]) -> dict[str, Any]:
        """Register a pair of :func:`pairs_to_register`; return its report."""
        channels = len(self.registrar.settings.channels)
        moving, fixed = (read_image(pair[kind], channels) for kind in ("moving", "fixed"))
        result = self.registrar.register(moving, fixed, **self.options)
        source = image_source(fixed)
        self.output_dir.mkdir(parents=True, exist_ok=True)
        result.write_field(self.output_dir / f"{pair['name']}_field.nii.gz")
        suffix = ".png" if source.is_picture else ".nii.gz"
        write_image(result.moved, self.output_dir / f"{pair['name']}{suffix}", source)
        return {"report": result.report}

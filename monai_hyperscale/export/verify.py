"""Whether what a file computes is what the network computes, and a bundle run by MONAI what this package gives."""

from __future__ import annotations

import io
import logging
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from monai.bundle import ConfigWorkflow
from monai.data import MetaTensor

from monai_hyperscale.errors import ExportError, first_line
from monai_hyperscale.export.folding import StockBundle
from monai_hyperscale.export.source import FoldSource

#: Largest difference to the source network that a file may have, in units of the source's largest absolute value.
TOLERANCE = 1e-4


@dataclass(frozen=True)
class Agreement:
    """Two networks on inputs of ``shapes``: largest ``difference``, in units of the reference's largest absolute value.

    ``labels`` is the share of voxels whose greatest channel is the same, ``None`` where channels are no labels.
    """

    difference: float
    labels: float | None
    shapes: tuple[tuple[int, ...], ...]

    @property
    def holds(self) -> bool:
        """Whether the difference is within :data:`TOLERANCE`."""
        return self.difference <= TOLERANCE


def compare(
    reference: Callable[[torch.Tensor], torch.Tensor],
    candidate: Callable[[torch.Tensor], torch.Tensor],
    inputs: Sequence[torch.Tensor],
    labels: bool = True,
) -> Agreement:
    """Compare two networks on images (B, C, *sizes), ``labels`` where channels are classes.

    The candidate runs twice, since TorchScript optimises it after its first run. NaN, and another shape, are infinity.
    """
    if not inputs:
        raise ValueError("there must be an image to compare on.")
    difference, same, voxels = 0.0, 0, 0
    for x in inputs:
        # Not inference mode, whose tensors some runtimes refuse.
        with torch.no_grad():
            expected = reference(x)
            candidate(x)
            found = candidate(x)
        if found.shape != expected.shape:
            difference = math.inf
            continue
        largest = float((found - expected).abs().max()) / max(float(expected.abs().max()), 1e-30)
        difference = max(difference, largest if math.isfinite(largest) else math.inf)
        if labels:
            same += int((found.argmax(1) == expected.argmax(1)).sum())
        voxels += expected[:, 0].numel()
    share = same / voxels if labels and voxels else None
    return Agreement(difference, share, tuple(tuple(x.shape) for x in inputs))


def check_bundle(
    folder: Path, stock: StockBundle, source: FoldSource, images: Sequence[MetaTensor], size: Sequence[int]
) -> dict[str, Any]:
    """Return how a bundle, run by MONAI alone on images or synthetic anatomy, agrees with this package."""
    with tempfile.TemporaryDirectory() as temporary:
        inputs, outputs = Path(temporary) / "in", Path(temporary) / "out"
        inputs.mkdir()
        files, told = stock.write_inputs(inputs, images, size)
        overrides = {"dataset_dir": str(inputs), "output_dir": str(outputs), "device": "cpu", **told}
        try:
            _run(folder, overrides)
        except (Exception, SystemExit) as error:  # whatever MONAI raises: the bundle is not to be had
            cause: BaseException = error
            while cause.__cause__ is not None:
                cause = cause.__cause__
            raise ExportError(f"the bundle does not run with MONAI ({first_line(cause)}).") from error
        return stock.compare(source, files, outputs, bool(images))


@contextmanager
def quiet() -> Iterator[None]:
    """Keep what exporters and MONAI tell their own programmers from the screen."""
    level = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with warnings.catch_warnings(), redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(level)


def _run(folder: Path, overrides: dict[str, str]) -> None:
    before = list(sys.path)
    try:
        with quiet():
            flow = ConfigWorkflow(
                config_file=str(folder / "configs" / "inference.json"),
                meta_file=str(folder / "configs" / "metadata.json"),
                logging_file=False,
                workflow_type="infer",
                **overrides,
            )
            flow.initialize()
            flow.run()
            flow.finalize()
    finally:
        sys.path[:] = before

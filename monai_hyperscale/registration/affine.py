"""Affine alignment of two images by SimpleITK, as a start for registration."""

from __future__ import annotations

import numpy as np
import SimpleITK as sitk
from monai.data import MetaTensor

from monai_hyperscale.errors import RegistrationError
from monai_hyperscale.io.grids import Grid, grid_of, itk_image, overlap, ras_matrix

_BINS = 32
_ITERATIONS = 200
# Voxels of the fixed image that the metric looks at, per resolution level; more make it slower, not better.
_SAMPLES = 20_000
# An axis this short is not made coarser.
_SHORTEST = 24


def align_centres(moving: Grid, fixed: Grid) -> np.ndarray:
    """Return the shift that lays the middle of the fixed grid on that of the moving one, as :func:`align_affine` does.

    Example:
        >>> align_centres(Grid((5, 5), np.eye(4)), Grid((3, 3), np.eye(4)))[:2, 3]
        array([1., 1.])
    """
    matrix = np.eye(4)
    matrix[: fixed.dims, 3] = moving.centre - fixed.centre
    return matrix


def align_affine(moving: MetaTensor, fixed: MetaTensor, seed: int = 0) -> np.ndarray:
    """Align two images by rotation, scale, shear and shift, with SimpleITK.

    Mattes' mutual information over three resolutions, so modalities may differ. It starts from the best of three: the
    images as their affines lay them, their middles on each other, or their centres of mass on each other. What comes
    out is at least as good as that start by the metric. Equal inputs give equal results, to rounding; ``seed`` is of
    the voxels that the metric looks at.

    Takes images (1, *sizes) with their affines in RAS; returns (4, 4), from millimetres of the fixed image to those of
    the moving one, RAS. Images that cannot be aligned are a :class:`RegistrationError`.

    Example:
        >>> import torch
        >>> blob = torch.exp(-torch.linspace(-2, 2, 20) ** 2)[:, None] * torch.exp(-torch.linspace(-4, 4, 20) ** 2)
        >>> there, here = (MetaTensor(blob[None], affine=torch.diag(torch.ones(4))) for _ in range(2))
        >>> there.affine[0, 3] = 30  # mm
        >>> align_affine(there, here)[:2, 3].round(-1)
        array([30.,  0.])
    """
    grids = grid_of(moving), grid_of(fixed)
    both = zip((moving, fixed), grids, strict=True)
    images = [itk_image(image[0].cpu().numpy().astype(np.float32), grid) for image, grid in both]
    method = _method(images[1].GetSize(), seed)
    try:
        transform, before = _best_start(method, images[0], images[1], grids)
        # In place of a copy: what is not in place comes back inside a composite.
        method.SetInitialTransform(sitk.AffineTransform(transform), inPlace=True)
        found = sitk.AffineTransform(method.Execute(images[1], images[0]))
        after = _value(method, images[0], images[1], found)
    except RuntimeError as error:
        # The first sentence of the last line, without ITK's object and its address before it.
        reason = str(error).strip().splitlines()[-1].rpartition("): ")[2].split(". ")[0].rstrip(".")
        raise RegistrationError(
            f"the images could not be aligned ({reason}); check that both show the same part of the body, or align "
            "their centres alone."
        ) from error
    if not np.isfinite(after) or after > before or abs(np.linalg.det(ras_matrix(found))) < 1e-3:
        return ras_matrix(transform)
    return ras_matrix(found)


def _method(sizes: tuple[int, ...], seed: int) -> sitk.ImageRegistrationMethod:
    method = sitk.ImageRegistrationMethod()
    method.SetMetricAsMattesMutualInformation(_BINS)
    method.SetInterpolator(sitk.sitkLinear)
    shrinks = [shrink for shrink in (4, 2) if min(sizes) >= shrink * _SHORTEST // 2] + [1]
    method.SetShrinkFactorsPerLevel(shrinks)
    # ITK smooths images of at least four voxels along every axis.
    smooth = 1.0 if min(sizes) >= 4 else 0.0
    method.SetSmoothingSigmasPerLevel([smooth * (shrink // 2) for shrink in shrinks])
    method.SetSmoothingSigmasAreSpecifiedInPhysicalUnits(False)
    shares = [min(1.0, _SAMPLES * shrink ** len(sizes) / np.prod(sizes)) for shrink in shrinks]
    if min(shares) < 1:
        method.SetMetricSamplingStrategy(method.RANDOM)
        method.SetMetricSamplingPercentagePerLevel(shares, seed + 1)  # 0 would mean the clock
    method.SetOptimizerAsRegularStepGradientDescent(
        learningRate=2.0, minStep=5e-4, numberOfIterations=_ITERATIONS, relaxationFactor=0.75
    )
    method.SetOptimizerScalesFromPhysicalShift()
    return method


def _best_start(
    method: sitk.ImageRegistrationMethod, moving: sitk.Image, fixed: sitk.Image, grids: tuple[Grid, Grid]
) -> tuple[sitk.AffineTransform, float]:
    dims = fixed.GetDimension()
    centre = fixed.TransformContinuousIndexToPhysicalPoint([(n - 1) / 2 for n in fixed.GetSize()])
    starts = []
    if overlap(*grids, np.eye(4)) > 0.25:
        starts.append(np.zeros(dims))
    initialise = sitk.CenteredTransformInitializer
    for way in (sitk.CenteredTransformInitializerFilter.GEOMETRY, sitk.CenteredTransformInitializerFilter.MOMENTS):
        try:
            shift = sitk.AffineTransform(initialise(fixed, moving, sitk.AffineTransform(dims), way))
        except RuntimeError:  # images whose mass is zero have no centre of mass
            continue
        starts.append(np.asarray(shift.GetTranslation()))
    best = None
    for translation in starts:
        transform = sitk.AffineTransform(dims)
        transform.SetCenter(centre)
        transform.SetTranslation(translation.tolist())
        try:
            value = _value(method, moving, fixed, transform)
        except RuntimeError:  # too little overlap for the metric
            continue
        if np.isfinite(value) and (best is None or value < best[1]):
            best = transform, value
    if best is None:
        raise RuntimeError("no start has enough overlap")
    return best


def _value(
    method: sitk.ImageRegistrationMethod, moving: sitk.Image, fixed: sitk.Image, transform: sitk.AffineTransform
) -> float:
    """Return the metric, smaller is better."""
    method.SetInitialTransform(transform, inPlace=False)
    return float(method.MetricEvaluate(fixed, moving))

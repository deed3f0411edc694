"""Registration: displacement fields as functions, and the networks that predict them.

Conventions, stated once. Everything in memory keeps to them; what goes to files and to SimpleITK is converted at the
border, in :mod:`monai_hyperscale.io`, and nowhere else.

- A **displacement field**, called ``field`` since φ is the rescaling factor here, is a tensor (B, D, *sizes) with D = 2
  or 3 spatial axes. Channel d holds the displacement along array axis d, in voxels of the fixed image's grid.
- ``moved(x) = moving(x + field(x))``: the field takes points of the fixed image's grid to points of the moving image.
- Moving and fixed image are on one grid; images of different grids are resampled to the fixed one's first.
- A **stationary velocity field** has the same layout; ``integrate(velocity)`` is its displacement field, and
  ``integrate(-velocity)`` the inverse.
- On disk: ITK's convention, millimetres in LPS, vectors on the fixed image's grid, from physical points of the fixed
  image to those of the moving one.
"""

from monai_hyperscale.io.grids import Grid, grid_of
from monai_hyperscale.registration.affine import align_affine, align_centres
from monai_hyperscale.registration.fields import (
    Residual,
    compose,
    folded_share,
    integrate,
    invert,
    jacobian_determinant,
    resize_field,
)
from monai_hyperscale.registration.network import FieldHead, PlainRegistration, RegistrationNetwork
from monai_hyperscale.registration.warping import check_field, voxel_grid, warp, warp_points

__all__ = [
    "FieldHead",
    "Grid",
    "PlainRegistration",
    "RegistrationNetwork",
    "Residual",
    "align_affine",
    "align_centres",
    "check_field",
    "compose",
    "folded_share",
    "grid_of",
    "integrate",
    "invert",
    "jacobian_determinant",
    "resize_field",
    "voxel_grid",
    "warp",
    "warp_points",
]

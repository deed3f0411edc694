"""How a network's weights change with φ, at which other φ they serve, and which level's factor counts.

The analyses of the SSHN paper (sections 5.2, C.2 and D), for one's own network and data. Each is a function that
returns numbers and one that draws them; ``monai-hyperscale analyze`` writes both.
"""

from monai_hyperscale.analysis.figures import save_figure
from monai_hyperscale.analysis.levels import (
    FactorInfluence,
    LevelGain,
    draw_level_costs,
    draw_level_map,
    factor_influence,
    gains_at_cost,
)
from monai_hyperscale.analysis.transfer import TransferCurve, draw_transfer, fixed_curve, transfer_curve, transferred
from monai_hyperscale.analysis.variation import (
    LayerVariation,
    coefficients_of_variation,
    draw_variation,
    layers_in_order,
    weight_variation,
)

__all__ = [
    "FactorInfluence",
    "LayerVariation",
    "LevelGain",
    "TransferCurve",
    "coefficients_of_variation",
    "draw_level_costs",
    "draw_level_map",
    "draw_transfer",
    "draw_variation",
    "factor_influence",
    "fixed_curve",
    "gains_at_cost",
    "layers_in_order",
    "save_figure",
    "transfer_curve",
    "transferred",
    "weight_variation",
]

"""What a φ costs."""

from monai_hyperscale.search.cost import count_flops

__all__ = ["count_flops"]

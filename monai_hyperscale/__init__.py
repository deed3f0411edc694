"""Train once, dial cost at inference: hypernetworks over continuously rescaled MONAI networks."""

__version__ = "0.1.0"

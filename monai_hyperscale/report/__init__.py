"""A frontier to look at: one HTML page that needs nothing else, and its curves as figures for papers."""

from monai_hyperscale.report.examples import Example
from monai_hyperscale.report.figures import write_figures
from monai_hyperscale.report.page import write_report

__all__ = ["Example", "write_figures", "write_report"]

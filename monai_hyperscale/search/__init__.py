"""What every φ costs and scores, and which of them a budget allows."""

from monai_hyperscale.search.budget import (
    Choice,
    Limit,
    Objective,
    choose,
    default_objective,
    read_limits,
    read_objective,
)
from monai_hyperscale.search.cost import InferenceCost, count_flops, measure_costs
from monai_hyperscale.search.evaluation import SAMPLERS, RowMeasurer, phi_grid, search_phi
from monai_hyperscale.search.frontier import SweepOptions, sweep
from monai_hyperscale.search.metrics import METRICS, Metric, correlation, metric_named
from monai_hyperscale.search.results import Frontier, FrontierRow, Interval, Latency, read_frontier
from monai_hyperscale.search.statistics import hypervolume, knee, pareto_points
from monai_hyperscale.search.workload import CaseResult, Workload, WorkloadOptions, open_workload

__all__ = [
    "METRICS",
    "SAMPLERS",
    "CaseResult",
    "Choice",
    "Frontier",
    "FrontierRow",
    "InferenceCost",
    "Interval",
    "Latency",
    "Limit",
    "Metric",
    "Objective",
    "RowMeasurer",
    "SweepOptions",
    "Workload",
    "WorkloadOptions",
    "choose",
    "correlation",
    "count_flops",
    "default_objective",
    "hypervolume",
    "knee",
    "measure_costs",
    "metric_named",
    "open_workload",
    "pareto_points",
    "phi_grid",
    "read_frontier",
    "read_limits",
    "read_objective",
    "search_phi",
    "sweep",
]

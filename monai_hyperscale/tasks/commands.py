"""What the tasks' own commands share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeVar

import rich_click as click

from monai_hyperscale.console.command import Arguments, wrong_arguments
from monai_hyperscale.console.messages import say
from monai_hyperscale.console.options import COUNT, PATH, factors, listed

if TYPE_CHECKING:
    from monai_hyperscale.inference.networks import TrainedNetwork

    Network = TypeVar("Network", bound=TrainedNetwork)


phi_option = click.option(
    "--phi",
    type=factors,
    default="0.5",
    metavar="PHI",
    help="rescaling factor in [0, 1], smaller is faster; with commas one per level, for networks trained so, as in "
    "0.5,0.4,0.3",
)


def file_option(name: str, told: str, kind: Any = PATH, metavar: str = "FILE") -> Any:
    """Return the decorator of an option that names a file, one to write unless ``kind`` is another."""
    return click.option(name, type=kind, metavar=metavar, help=told)


def max_voxels_option(told: str) -> Any:
    """Return the decorator of the option that bounds the voxels of what goes through a network at once."""
    told = f"{told}, which takes less memory"
    return click.option("--max-voxels", type=COUNT, default=2**24, metavar="N", help=told)


def opened(args: Arguments, kind: type[Network], bundle: str = "", options: Any = None, **numbers: Any) -> Network:
    """Return the network that a command is to run with, folded for its φ; say what is noteworthy of it.

    ``bundle`` names the one that comes with this package, for where none is given; ``options`` are further arguments of
    ``kind``, ``numbers`` what the weights are generated from beside φ.
    """
    from monai_hyperscale.bundle.locate import default_bundle
    from monai_hyperscale.inference.devices import choose_device

    with wrong_arguments():
        folder = default_bundle(bundle) if args.bundle is None else args.bundle
        device = choose_device(args.device)
    network = kind.from_bundle(folder, device, **(options or {}))
    with wrong_arguments():  # another number of factors than the network has levels
        network.fold(args.phi if len(args.phi) > 1 else args.phi[0], **numbers)
    if not network.settings.context["phi"].trained(args.phi):
        low, high = network.settings.phi_range
        say(f"warning: the network was trained for phi from {low:g} to {high:g}, not for {listed(args.phi)}.")
    if args.verbose:
        say(f"bundle {folder}, device {network.device}")
    return network

"""``monai-hyperscale classify``: images in, the class of each out."""

from __future__ import annotations

import rich_click as click

from monai_hyperscale.console.command import DONE, Arguments, Existing, command
from monai_hyperscale.console.options import BUNDLE, device_option, factors
from monai_hyperscale.tasks.commands import opened


@command("classify", "tell the class of images")
@click.argument("images", nargs=-1, required=True, type=Existing("image"), help="image files")
@click.option("--bundle", required=True, type=BUNDLE, metavar="DIR", help="trained bundle")
@click.option("--phi", required=True, type=factors, metavar="PHI", help="rescaling factor in [0, 1]")
@device_option
def classify(args: Arguments) -> int:
    """Print the most likely class of every image, and its probability.

    monai-hyperscale classify image.png --bundle classes/ --phi 0.3
    """
    from monai_hyperscale.console.tables import print_table
    from monai_hyperscale.inference.folded import FoldedInference
    from monai_hyperscale.inference.inferers import PhiInferer
    from monai_hyperscale.tasks.classification.workload import ClassificationFolding, Classifier

    classifier = opened(args, Classifier)
    settings, folding = classifier.settings, ClassificationFolding(classifier.settings)
    run = FoldedInference(classifier.fold(args.phi), PhiInferer())
    lines = []
    for path in args.images:
        shares = run(folding.prepared(folding.read([path])).float().to(classifier.device))[0].softmax(0)
        best = int(shares.argmax())
        lines.append([str(path), settings.labels[best], f"{float(shares[best]):.3f}"])
    print_table(lines, ["image", "class", "probability"], left=[0, 1])
    return DONE

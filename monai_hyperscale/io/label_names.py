"""The names of a label map's values, from the table that lies beside it."""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Union

from monai_hyperscale.errors import ImageError
from monai_hyperscale.io.images import split_suffix

__all__ = ["table_beside"]


def table_beside(path: Union[str, Path]) -> dict[int, str]:
    r"""Return the name of every value of a label map, from BIDS's table of it; empty where there is none.

    Args:
        path: of the label map, such as ``a_dseg.nii.gz``; the table is then ``a_dseg.tsv``, of the columns ``index``
            and ``name``.

    Raises:
        ImageError: if there is a table that cannot be read.

    Example:
        >>> import tempfile
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     _ = Path(folder, "a.tsv").write_text("index\tname\n2\tLeft white matter\n")
        ...     table_beside(f"{folder}/a.nii.gz"), table_beside(f"{folder}/b.nii.gz")
        ({2: 'Left white matter'}, {})
    """
    table = Path(path).with_name(split_suffix(path)[0] + ".tsv")
    if not table.is_file():
        return {}
    try:
        with table.open(encoding="utf-8", newline="") as lines:
            return {int(row["index"]): row["name"].strip() for row in csv.DictReader(lines, delimiter="\t")}
    except (AttributeError, KeyError, OSError, TypeError, ValueError, csv.Error) as error:
        raise ImageError(
            f"{table} is no table of label names (columns index and name, with tabs between): {error!r}; correct it or "
            "move it away."
        ) from error

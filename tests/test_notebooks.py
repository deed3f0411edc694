"""The notebooks run from end to end, and what they find out is right."""

from __future__ import annotations

import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOKS = sorted((ROOT / "notebooks").glob("*.ipynb"))
# What the last cell, which the test adds, hands over from the notebook's variables.
FACTS = {
    "frontier": """dict(
        phis=[row.phi[0] for row in frontier.rows],
        flops=[row.flops for row in frontier.rows],
        scores=[row.score.mean for row in frontier.rows],
        chosen=[choice.row.phi[0] for choice in choices],
        cases=[validation.names, test.names],
        folded=[PHI, manifest["phi"]],
        difference=difference,
        parameters=[sum(p.numel() for p in network.parameters()) for network in (hypernetwork, plain)],
    )""",
    "registration": """dict(
        errors={str(name): error for name, error in errors.items()},
        folded=[each.report["folded_share"] for each in (*results.values(), result)],
        disagreement=disagreement,
        same=float(np.abs(read_field(FIELD).as_tensor() - result.field.as_tensor()).max()),
        residual=residual.percentile_95,
        correlations=[float(value) for value in correlations],
        dice={when: sum(scores.values()) / len(scores) for when, scores in dice.items()},
        command=float(np.abs(read_image(MOVED) - results[PHI].moved).max()) / scale,
    )""",
    "rescalable": """dict(
        differences=[difference, kept, still, exported],
        reused=[len(network.report.tensors.reused), len(plain.state_dict())],
        flops=list(flops.values()),
        converted=list(converted.values()),
        trained=list(trained.values()),
    )""",
}


def facts_of(name: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[dict[str, Any], list[Any]]:
    """Run a notebook in a folder of its own; return what it found out, and its cells' outputs."""
    nbformat = pytest.importorskip("nbformat", reason="the notebooks extra is not installed")
    pytest.importorskip("ipykernel", reason="the notebooks extra is not installed")
    client = pytest.importorskip("nbclient", reason="the notebooks extra is not installed")
    notebook = nbformat.read(ROOT / "notebooks" / f"{name}.ipynb", as_version=4)
    facts = f"import json\n\nprint('FACTS ' + json.dumps({FACTS[name]}))"
    notebook.cells.append(nbformat.v4.new_code_cell(facts))
    # Commands such as monai-hyperscale are those of this environment; nothing is written outside of the folder.
    settings = {
        "MONAI_HYPERSCALE_QUICK": "1",
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
    }
    settings |= {name: str(folder) for name in ("TMPDIR", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_RUNTIME_DIR")}
    for variable, value in settings.items():
        monkeypatch.setenv(variable, value)
    # As in Jupyter, pictures become outputs.
    monkeypatch.delenv("MPLBACKEND", raising=False)
    resources = {"metadata": {"path": str(folder)}}
    client.NotebookClient(notebook, timeout=300, kernel_name="python3", resources=resources).execute()
    outputs = [output for cell in notebook.cells if cell.cell_type == "code" for output in cell.outputs]
    text = "".join(output.text for output in outputs if output.get("name") == "stdout")
    return json.loads(text.split("FACTS ")[1].splitlines()[0]), outputs


def pictures(outputs: list[Any]) -> int:
    return sum("image/png" in output.get("data", {}) for output in outputs)


def test_every_notebook_is_tested() -> None:
    assert [path.stem for path in NOTEBOOKS] == sorted(FACTS)


def test_frontier(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, outputs = facts_of("frontier", tmp_path, monkeypatch)
    assert pictures(outputs) == 3
    # Less phi is less compute; the network has learnt something, and more than the smallest phi can show.
    assert facts["flops"] == sorted(set(facts["flops"]))
    assert max(facts["scores"]) > 0.5 and max(facts["scores"]) > facts["scores"][0] + 0.05
    rows = {phi: row for phi, *row in zip(facts["phis"], facts["flops"], facts["scores"], strict=True)}
    halfway, cheapest = facts["chosen"]
    budget = (min(facts["flops"]) + max(facts["flops"])) / 2
    within = [score for flops, score in rows.values() if flops <= budget]
    assert rows[halfway][0] <= budget and rows[halfway][1] == max(within)
    enough = [flops for flops, score in rows.values() if score >= round(max(facts["scores"]) - 0.02, 3)]
    assert rows[cheapest][0] == min(enough)
    assert not set(facts["cases"][0]) & set(facts["cases"][1])
    assert facts["folded"][0] == halfway and facts["difference"] < 1e-4
    assert facts["parameters"][0] > 3 * facts["parameters"][1]
    said = "".join(output.text for output in outputs if output.get("name") == "stdout")
    assert re.search(rf"^phi = {halfway:g}\r?$", said, re.MULTILINE), "the command chooses another phi"


def test_registration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    facts, outputs = facts_of("registration", tmp_path, monkeypatch)
    assert pictures(outputs) == 3
    errors = facts["errors"]
    assert max(errors[phi] for phi in ("0.1", "0.25", "0.5")) < 0.9 * errors["before"]
    assert errors["refined"] < 0.8 * errors["0.25"]
    assert max(facts["folded"]) < 0.02
    assert facts["disagreement"] < 1e-3 and facts["same"] < 1e-3 and facts["command"] < 1e-3
    assert facts["residual"] < 0.1
    assert facts["correlations"][1] > facts["correlations"][0]
    assert facts["dice"]["after"] > facts["dice"]["before"] + 0.02


def test_rescalable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime", reason="the export extra is not installed")
    facts, outputs = facts_of("rescalable", tmp_path, monkeypatch)
    assert pictures(outputs) == 1
    assert max(facts["differences"]) < 1e-4
    assert facts["reused"][0] == facts["reused"][1]
    assert facts["flops"] == sorted(set(facts["flops"]))
    # The score at small phi rises, that at 0.5 stays.
    assert facts["trained"][0] > facts["converted"][0] + 0.05
    assert facts["trained"][-1] == pytest.approx(facts["converted"][-1], abs=1e-3)
    assert facts["trained"][-1] > 0.5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_clean_and_use_public_names(path: Path) -> None:
    content = json.loads(path.read_text(encoding="utf-8"))
    assert content["nbformat"] == 4 and content["nbformat_minor"] >= 5
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    assert content["metadata"] == {"kernelspec": kernel, "language_info": {"name": "python"}}
    cells = content["cells"]
    assert len({cell["id"] for cell in cells}) == len(cells)
    for cell in cells:
        assert set(cell["metadata"]) <= {"tags"}, f"{cell['id']} has metadata of an editor"
        if cell["cell_type"] == "code":
            assert cell["outputs"] == [] and cell["execution_count"] is None, f"{cell['id']} has outputs: clear them"
    source = "\n".join("".join(cell["source"]) for cell in cells)
    paths = re.findall(r"""["'`](/\w[^"'`\s]*|[A-Z]:\\[^"'`]*)""", source)
    assert not paths, f"{path.name} names {paths}, which are on one machine only"
    public = set((ROOT / "tests" / "public_names.txt").read_text(encoding="utf-8").split())
    imports = re.findall(r"^from (monai_hyperscale[\w.]*) import (.+)$", source, re.MULTILINE)
    used = {f"{module}.{name.strip()}" for module, names in imports for name in names.split(",")}
    assert used and used <= public, f"{path.name} imports {sorted(used - public)}, which is not public"

"""What users rely on: command lines, and what is in the files they write. Imports nothing of the package but `main`."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import nibabel as nib
import numpy as np
import SimpleITK as sitk
import torch

from monai_hyperscale.cli.main import main
from tests.characterisation.made_crops import crop, write, write_dataset

BUNDLES = Path(__file__).resolve().parents[2] / "bundles"
PHIS = ("0.1", "0.3", "0.5")
CPU = ("--device", "cpu")  # so that the figures hold where there is a GPU too


class Said(NamedTuple):
    code: int
    out: str
    err: str


def command(*words: object, process: bool = False) -> Said:
    """Run one command, in this process unless told otherwise."""
    argv = [str(word) for word in words]
    if process:
        done = subprocess.run([sys.executable, "-m", "monai_hyperscale", *argv], capture_output=True, text=True)
        return Said(done.returncode, done.stdout, done.stderr)
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            code = main(argv)
        except SystemExit as end:  # a command line may end itself over its usage
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
    return Said(code, out.getvalue(), err.getvalue())


def done(*words: object, process: bool = False) -> Said:
    said = command(*words, process=process)
    if said.code:
        raise AssertionError(f"exit code {said.code} of {' '.join(map(str, words))}:\n{said.err}")
    return said


def figures(text: str) -> list[float]:
    """Return the numbers that a text tells, whatever the layout."""
    return [float(number) for number in re.findall(r"\d+(?:\.\d+)?", text)]


def keys(content: dict[str, Any], *closed: str) -> dict[str, Any]:
    """Return the names in a JSON file, level by level, without what lies in ``closed``."""
    return {k: keys(v, *closed) if isinstance(v, dict) and k not in closed else {} for k, v in content.items()}


def volumes(labels: np.ndarray) -> dict[str, int]:
    return {
        str(value): int(count) for value, count in zip(*np.unique(labels, return_counts=True), strict=True) if value
    }


def nifti(path: Path) -> tuple[np.ndarray, dict[str, Any]]:
    image = nib.load(path)
    voxels = np.asarray(image.dataobj)
    return voxels, {"dtype": str(voxels.dtype), "shape": list(voxels.shape), "affine": image.affine.tolist()}


def statistics(values: np.ndarray) -> dict[str, float]:
    return {"mean": float(values.mean()), "std": float(values.std()), "max": float(values.max())}


def segment(folder: Path) -> dict[str, Any]:
    image, found = write(folder / "scan.nii.gz", crop(1)[0]), {}
    for phi in PHIS:
        out, table = folder / f"labels_{phi}.nii.gz", folder / f"volumes_{phi}.json"
        done("segment", image, "-o", out, "--phi", phi, "--volumes", table, *CPU, process=phi == "0.3")
        labels, header = nifti(out)
        (told,) = json.loads(table.read_text())["images"]
        names = {str(label["label"]): label["name"] for label in told["labels"]}
        told_volumes = {str(label["label"]): label["volume"] for label in told["labels"]}
        entry = {"header": header, "volumes": volumes(labels), "names": names, "told": {"volumes": told_volumes}}
        found[phi] = {**entry, "told phi": told["phi"], "keys": keys(told) | {"labels": keys(told["labels"][0])}}
    return found


def register(folder: Path) -> dict[str, Any]:
    (moving, moving_labels), (fixed, fixed_labels) = crop(1), crop(2, (34, 52, 38))
    scans = [write(folder / "moving.nii.gz", moving), write(folder / "fixed.nii.gz", fixed)]
    maps = [write(folder / "moving_map.nii.gz", moving_labels), write(folder / "fixed_map.nii.gz", fixed_labels)]
    with_maps, found = ("--labels", maps[0], "--fixed-labels", maps[1]), {}
    for phi in PHIS:
        out, field, moved_map = (folder / f"{name}_{phi}.nii.gz" for name in ("moved", "field", "map"))
        report = folder / f"report_{phi}.json"
        files = ("-o", out, "--field", field, "--labels-out", moved_map, "--report", report)
        done("register", *scans, *files, *with_maps, "--phi", phi, "--centres", *CPU)
        voxels, header = nifti(out)
        vectors = sitk.ReadImage(str(field))
        lengths = np.linalg.norm(sitk.GetArrayFromImage(vectors), axis=-1)
        told = json.loads(report.read_text())
        grid = [vectors.GetSize(), vectors.GetSpacing(), vectors.GetOrigin(), vectors.GetDirection()]
        found[phi] = {
            "moved": {"header": header, **statistics(voxels.astype(float))},
            "field": {**statistics(lengths), "grid": [list(part) for part in grid]},
            "labels": {"header": nifti(moved_map)[1], "volumes": volumes(nifti(moved_map)[0])},
            "keys": keys(told),
            **{name: told[name] for name in ("dice", "correlation", "folded_share")},
        }
        for kind, source, first in ((["--labels"], maps[0], moved_map), ([], scans[0], out)):
            again = folder / f"again_{phi}{len(kind)}.nii.gz"
            done("apply-field", source, field, "-o", again, *kind)
            same = np.isclose(nifti(again)[0], nifti(first)[0], rtol=1e-3, atol=1e-2).mean()
            found[phi]["apply-field " + " ".join(kind)] = {"header": nifti(again)[1], "share": float(same)}
    out, report = folder / "affine.nii.gz", folder / "affine.json"
    done("register", *scans, "-o", out, "--report", report, *with_maps, "--phi", "0.3", "--affine", *CPU)
    told = json.loads(report.read_text())
    return {
        **found,
        "affine": {"keys": keys(told), "by affine": [told["correlation"]["after"], told["dice"]["after"]["mean"]]},
    }


def frontier(folder: Path) -> dict[str, Any]:
    data = write_dataset(folder / "crops")
    few = ("--dataset", data, "--cases", "all", "--seed", "0", "--repeats", "0", "--no-memory", "--bootstrap", "200")
    found: dict[str, Any] = {}
    for bundle, phis, more in (("sshn_seg", PHIS, ()), ("sshn_reg", ("0.3",), ("--limit", "2", "--no-report"))):
        out = folder / bundle
        said = done("pareto", BUNDLES / bundle, *few, "-o", out, "--phi", ",".join(phis), *more, *CPU)
        content = json.loads((out / "frontier.json").read_text())
        row_keys = keys(content["rows"][0], "cases")
        rows = [{name: row[name] for name in ("phi", "flops", "parameters", "cases")} for row in content["rows"]]
        rows = [{**row, "score": old["score"]["mean"]} for row, old in zip(rows, content["rows"], strict=True)]
        columns = {
            file.name: dict.fromkeys(next(csv.reader(file.read_text().splitlines())), "")
            for file in sorted(out.glob("*.csv"))
        }
        found[bundle] = {
            "keys": keys(content, "settings", "options", "machine") | {"rows": row_keys},
            "kind": [content["kind"], content["task"], content["metric"], content["labels"]],
            "cases": content["data"]["cases"],
            **{"rows": rows, "pareto": content["pareto"], "columns": columns},
            "files": sorted(file.name for file in out.iterdir()),
            "told": {"flops and score": [figures(line)[:3] for line in said.out.splitlines()[1 : 1 + len(phis)]]},
        }
    budget = ("choose", folder / "sshn_seg", "--at-least", "dice>=0.83", "--minimize", "flops")
    choice = done(*budget).out.split("\n\n")[0]
    chosen = json.loads(done(*budget, "--json").out)
    found["choose"] = {"told": {"figures": figures(choice)}, "phi": chosen["phi"], "missed": chosen["missed"]}
    unmet = command("choose", folder / "sshn_seg", "--at-least", "dice>=0.99")
    found["choose"]["no phi within the budget"] = {"code": unmet.code, "out": unmet.out}
    return found


def fold(folder: Path) -> dict[str, Any]:
    scans = [write(folder / f"scan_{seed}.nii.gz", crop(seed)[0]) for seed in (1, 2)]
    fixed = torch.linspace(-1, 1, 2 * 16 * 24 * 16).sin().reshape(1, 2, 16, 24, 16)
    found: dict[str, Any] = {}
    for bundle, formats in (("sshn_seg", "bundle,torchscript,safetensors"), ("sshn_reg", "torchscript")):
        out, images = folder / bundle, scans if bundle == "sshn_reg" else scans[:1]
        done("fold", BUNDLES / bundle, "--phi", "0.3", "-o", out, "--format", formats, "--image", *images)
        manifest = json.loads((out / "manifest.json").read_text())
        network = torch.jit.load(out / "models" / "model.ts")
        with torch.inference_mode():
            result = network(fixed[:, : manifest["input"]["channels"]])
        files = [{k: v for k, v in file.items() if k not in ("bytes", "sha256")} for file in manifest["files"]]
        found[bundle] = {
            "keys": keys(manifest, "provenance", "versions", "left_out") | {"versions": {}},
            "facts": {name: manifest[name] for name in ("kind", "task", "phi", "input", "cost", "verified_on")},
            "files": sorted(str(file.relative_to(out)) for file in out.rglob("*") if file.is_file()),
            "largest_difference": {file["path"]: file.pop("largest_difference", 0.0) for file in files},
            "listed": {file["path"]: file for file in files},
            "output": {"shape": list(result.shape), **statistics(result.double().abs().numpy())},
            "at": [float(value) for value in result.flatten()[:: result.numel() // 20]],
        }
    return found


def bad_input(folder: Path) -> dict[str, Any]:
    image, nowhere, out = write(folder / "scan.nii.gz", crop(1)[0]), folder / "nowhere", folder / "new.nii.gz"
    there = write(folder / "there.nii.gz", crop(2)[0])
    damaged, not_nifti = folder / "frontier.json", folder / "text.nii.gz"
    damaged.write_text('{"format": 1, "kind": "frontier", "rows": [')
    not_nifti.write_text("not a NIfTI")
    lines: dict[str, tuple[object, ...]] = {
        "segment: missing file": ("segment", nowhere / "scan.nii.gz", "-o", out),
        "segment: not a NIfTI": ("segment", not_nifti, "-o", out),
        "segment: phi 2": ("segment", image, "-o", out, "--phi", "2"),
        "segment: phi no number": ("segment", image, "-o", out, "--phi", "much"),
        "segment: output exists": ("segment", image, "-o", there),
        "segment: no bundle": ("segment", image, "-o", out, "--bundle", nowhere),
        "segment: unknown option": ("segment", image, "-o", out, "--fi", "0.1"),
        "segment: no output": ("segment", image),
        "register: missing file": ("register", image, nowhere / "fixed.nii.gz", "-o", out),
        "register: output exists": ("register", image, image, "-o", there),
        "register: phi 2": ("register", image, image, "-o", out, "--phi", "2"),
        "apply-field: not a field": ("apply-field", image, there, "-o", out),
        "apply-field: missing field": ("apply-field", image, nowhere / "field.nii.gz", "-o", out),
        "pareto: no bundle": ("pareto", nowhere, "--dataset", folder, "-o", folder / "new"),
        "pareto: no data set": ("pareto", BUNDLES / "sshn_seg", "--dataset", nowhere, "-o", folder / "new"),
        "choose: damaged frontier": ("choose", damaged, "--at-least", "dice>=0.5"),
        "choose: missing frontier": ("choose", nowhere / "frontier.json", "--at-least", "dice>=0.5"),
        "fold: folder exists": ("fold", BUNDLES / "sshn_seg", "--phi", "0.3", "-o", folder),
        "fold: no bundle": ("fold", nowhere, "--phi", "0.3", "-o", folder / "new"),
        "unknown command": ("segmant", image, "-o", out),
    }

    def state() -> dict[str, bytes]:
        return {str(path): path.read_bytes() if path.is_file() else b"" for path in folder.rglob("*")}

    before, found = state(), {}
    for name, words in lines.items():
        said = command(*words, process=name == "segment: phi 2")
        facts = {"code": said.code, "nothing written": state() == before, "says why": bool(said.err.strip())}
        found[name] = {**facts, "traceback": "Traceback" in said.out + said.err, "out": said.out}
    return found


RUNS: dict[str, Callable[[Path], dict[str, Any]]] = {
    run.__name__: run for run in (segment, register, frontier, fold, bad_input)
}

"""Rules that hold for the whole package: public names, import direction, documentation, sizes, wording."""

from __future__ import annotations

import ast
import importlib
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

import pytest

import monai_hyperscale
from monai_hyperscale.tasks import TASKS

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "monai_hyperscale"
SOURCES = sorted(path for path in PACKAGE.rglob("*.py") if "_bundles" not in path.parts)
TESTS = sorted((ROOT / "tests").rglob("*.py"))
PUBLIC_NAMES = ROOT / "tests" / "public_names.txt"

# What each part may import from the package besides itself. Layers -> blocks -> nets; hypernet knows no network;
# data and io are below bundle and inference; the command line is on top.
NETWORKS = {"networks", "networks.layers", "networks.blocks", "networks.nets", "networks.conversion"}
BELOW_BUNDLE = NETWORKS | {"context", "errors", "hypernet", "io", "registration", "tasks"}
BELOW_INFERENCE = BELOW_BUNDLE | {"bundle", "data", "losses"}
BELOW_TRAINING = BELOW_INFERENCE | {"inference"}
BELOW_TASKS = BELOW_TRAINING | {"analysis", "console", "export", "report", "search", "training"}
MAY_IMPORT = {
    "": set(),
    "allocator": set(),
    "errors": set(),
    "context": {"errors"},
    "networks.layers": {"errors", "context"},
    "networks.blocks": {"errors", "networks.layers"},
    "networks.nets": {"context", "errors", "networks.layers", "networks.blocks"},
    "networks.conversion": {"errors", "io", "networks.layers", "networks.blocks", "networks.nets"},
    "networks": NETWORKS | {"errors"},
    "hypernet": {"context", "errors"},
    "io": {"errors"},
    "registration": NETWORKS | {"context", "errors", "io"},
    "losses": {"errors", "registration"},
    "data": {"errors", "io", "registration"},
    "bundle": BELOW_BUNDLE,
    "inference": BELOW_INFERENCE,
    "search": BELOW_TRAINING | {"console"},
    "training": BELOW_TRAINING | {"report", "search"},
    "analysis": {"bundle", "context", "errors", "hypernet", "inference", "networks.layers", "search"},
    "report": {"analysis", "data", "errors", "io", "registration", "search", "tasks"},
    "export": BELOW_INFERENCE | {"inference", "search"},
    "console": {"errors", "io"},
    # Everyone may ask for a task by its name; a task's own folder may use all but the command line.
    "tasks": {"errors", "tasks.base"},
    "tasks.base": BELOW_TASKS,
    "tasks.commands": BELOW_TASKS,
    **{f"tasks.{task}": BELOW_TASKS | {"allocator", "tasks.base", "tasks.commands"} for task in TASKS},
    "cli": BELOW_TASKS | {"allocator"},
}


def name_of(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def part_of(module: str) -> str:
    """Return the entry of MAY_IMPORT that a module of the package belongs to."""
    inner = module.removeprefix("monai_hyperscale").removeprefix(".")
    if not inner:
        return ""
    if inner == "__main__":
        return "cli"
    fitting = [part for part in MAY_IMPORT if part and (inner == part or inner.startswith(part + "."))]
    assert fitting, f"{module} is in no part that MAY_IMPORT names: add it with what it may import"
    return max(fitting, key=len)


def imported_modules(source: str, module: str, is_package: bool) -> Iterator[str]:
    """Yield the modules of this package that the source imports, wherever the import stands."""
    known = {name_of(path) for path in SOURCES}
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                parents = module.split(".")
                parents = parents[: len(parents) - node.level + is_package]
                base = ".".join([*parents, base] if base else parents)
            # "from monai_hyperscale import io" names a module, "from monai_hyperscale.io import x" a name of one.
            names = [name if (name := f"{base}.{alias.name}") in known else base for alias in node.names]
        else:
            continue
        yield from (name for name in names if name.split(".")[0] == "monai_hyperscale")


def forbidden_imports(source: str, module: str, is_package: bool = False) -> list[str]:
    part = part_of(module)
    allowed = MAY_IMPORT[part] | {part, ""}  # "" is the version, which everybody may read
    found = set(imported_modules(source, module, is_package))
    return sorted(name for name in found if part_of(name) not in allowed)


def where_broken(rule: Callable[[Path], object], paths: Iterable[Path]) -> dict[str, object]:
    """Return what a rule finds in each file that breaks it."""
    return {str(path.relative_to(ROOT)): found for path in paths if (found := rule(path))}


def test_imports_go_one_way() -> None:
    def rule(path: Path) -> list[str]:
        return forbidden_imports(path.read_text(encoding="utf-8"), name_of(path), path.name == "__init__.py")

    assert not where_broken(rule, SOURCES), "see MAY_IMPORT"


@pytest.mark.parametrize(
    ("source", "module", "wrong"),
    [
        ("from monai_hyperscale.networks import ScaleSpaceUNet", "hypernet.x", ["monai_hyperscale.networks"]),
        ("import monai_hyperscale.networks.nets", "networks.layers.x", ["monai_hyperscale.networks.nets"]),
        ("from ..blocks import ConvolutionStage", "networks.layers.x", ["monai_hyperscale.networks.blocks"]),
        ("from monai_hyperscale import networks", "io.x", ["monai_hyperscale.networks"]),
        ("def f():\n    from monai_hyperscale.data import read_dataset", "io.x", ["monai_hyperscale.data"]),
        ("from monai_hyperscale.networks.layers.resize import VariableResize", "networks.nets.x", []),
        ("from .resize import VariableResize\nimport torch", "networks.layers.x", []),
    ],
)
def test_import_rule_finds_what_it_should(source: str, module: str, wrong: list[str]) -> None:
    assert forbidden_imports(source, f"monai_hyperscale.{module}") == wrong


# Names of the package's own vocabulary that contain a task's: what these are of is told beside them.
WORDS = {
    "RegistrationError",  # of fields and warping, in the folder registration
    "registration_fields",
    "registration_network",
    "SegmentationDataset",  # images with label maps, which several tasks read
    "segmentation_preprocessing",
    "for registration networks",  # explains an option of the command line
    "for registration the moving",
}


def named_tasks(source: str) -> list[str]:
    """Return the identifiers, and the texts beside docstrings, that name a task."""
    tree, found = ast.parse(source), []
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    docs = [node.body[0] for node in ast.walk(tree) if isinstance(node, documented) and node.body]
    own = {id(first.value) for first in docs if isinstance(first, ast.Expr)}
    for node in ast.walk(tree):
        if id(node) in own:
            continue
        if isinstance(node, ast.Constant):
            names = [node.value]
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            continue  # which modules may be imported is another test
        else:
            names = [getattr(node, field, None) for field in ("id", "attr", "name", "arg")]
        for name in names:
            if isinstance(name, str) and any(task in name.lower() for task in TASKS):
                found += [] if any(word in name for word in WORDS) else [name]
    return found


def test_no_module_names_a_task() -> None:
    below = ("__init__.py", "tasks", "registration", "losses", "networks")
    paths = [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] not in below]
    found = where_broken(lambda path: named_tasks(path.read_text(encoding="utf-8")), paths)
    assert not found, "ask the task instead, see monai_hyperscale/tasks"


def public_names() -> set[str]:
    found = set()
    for path in SOURCES:
        module = name_of(path)
        if path.name == "__init__.py" or module == "monai_hyperscale.errors":
            found |= {f"{module}.{name}" for name in getattr(importlib.import_module(module), "__all__", [])}
    return found


def test_public_names_are_kept() -> None:
    recorded = set(PUBLIC_NAMES.read_text(encoding="utf-8").split())
    found = public_names()
    gone, new = sorted(recorded - found), sorted(found - recorded)
    assert not gone, f"public names removed: {gone}. Deprecate them first, or say so in CHANGELOG.md and the file."
    assert not new, f"public names not recorded in {PUBLIC_NAMES.name}: {new}. Add them, one per line."
    for entry in sorted(found):
        module, name = entry.rsplit(".", 1)
        assert hasattr(importlib.import_module(module), name), f"{module}.__all__ names {name}, which is not there"


def test_version_is_the_newest_in_the_changelog() -> None:
    headings = re.findall(r"^## (\d+\.\d+\.\d+\S*)", (ROOT / "CHANGELOG.md").read_text(encoding="utf-8"), re.MULTILINE)
    assert headings[0] == monai_hyperscale.__version__
    assert f"\nversion: {monai_hyperscale.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_files_are_short() -> None:
    found = where_broken(lambda path: len(path.read_text(encoding="utf-8").splitlines()) > 500, SOURCES + TESTS)
    assert not found, "split them by topic"


def inherits_docstring(module: str, name: str) -> bool:
    """Return whether a method stands for a documented one of a base class in this package."""
    class_name, _, method = name.rpartition(".")
    found = getattr(importlib.import_module(module), class_name, None) if class_name else None
    bases = [base for base in getattr(found, "__mro__", ())[1:] if base.__module__.startswith("monai_hyperscale")]
    return any(getattr(vars(base).get(method), "__doc__", None) for base in bases)


def undocumented(source: str) -> list[str]:
    """Return the public modules, classes, functions and methods of a source that have no docstring of their own."""
    missing = []

    def visit(node: ast.AST, prefix: str) -> None:
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, (ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)):
                if isinstance(child, (ast.If, ast.Try)):
                    visit(child, prefix)
                continue
            if child.name.startswith("_") or any("overload" in ast.unparse(d) for d in child.decorator_list):
                continue
            if ast.get_docstring(child) is None:
                missing.append(prefix + child.name)
            if isinstance(child, ast.ClassDef):
                visit(child, f"{prefix}{child.name}.")

    tree = ast.parse(source)
    if tree.body and ast.get_docstring(tree) is None:
        missing.append("the module")
    visit(tree, "")
    return missing


def test_public_names_are_documented() -> None:
    def rule(path: Path) -> list[str]:
        missing = undocumented(path.read_text(encoding="utf-8"))
        return [name for name in missing if not inherits_docstring(name_of(path), name)]

    assert not where_broken(rule, SOURCES)


# Built from pieces, so that this file does not match itself.
MACHINE_FOLDERS = ("home", "root", "work", "Users", "opt", "mnt")
PACKAGE_HOSTS = ("pypi" + ".org", "pythonhosted" + ".org", "download.pytorch" + ".org", "conda" + ".anaconda")
PATHS = (r"(?<![\w./~-])/(?:" + "|".join(MACHINE_FOLDERS) + r")/\w", r"\b[A-Z]:\\Users", "file:" + "//")
FORBIDDEN = re.compile("|".join([*PATHS, *map(re.escape, PACKAGE_HOSTS), r"\bissue #?\d"]))
TEXT = {".py", ".md", ".toml", ".txt", ".json", ".yaml", ".yml", ".cff", ".conf", ".sh", ".ipynb", ".cfg"}


def text_files() -> list[Path]:
    folders = ("monai_hyperscale", "tests", "bundles", "benchmarks", ".ci", "docs", "notebooks")
    paths = [*ROOT.iterdir(), *(path for name in folders for path in (ROOT / name).rglob("*"))]
    paths = [path for path in paths if path.is_file() and (path.suffix in TEXT or path.parent.name == ".ci")]
    return sorted(path for path in paths if not {"output", "eval", "__pycache__"} & set(path.parts))


def test_no_machine_paths_or_package_hosts() -> None:
    found = where_broken(lambda path: FORBIDDEN.findall(path.read_text(encoding="utf-8")), text_files())
    assert not found, "a path of one machine, or a package host"


def test_rules_find_what_they_should() -> None:
    for text in ("x = '/" + "home/me/x'", "https://" + PACKAGE_HOSTS[0] + "/simple", "see issue" + " #7"):
        assert FORBIDDEN.search(text)
    source = '"""Of segmentation."""\nif task == "registration":\n    segmentation_config(RegistrationError)\n'
    assert named_tasks(source) == ["registration", "segmentation_config"]
    source = '"""Doc."""\nclass A:\n    """Doc."""\n    def f(self): ...\n    def _g(self): ...\ndef h(): ...\n'
    assert undocumented(source) == ["A.f", "h"]
    assert inherits_docstring("monai_hyperscale.training.priors", "UniformPhi.quantile")
    # torch.nn.Module documents what its subclasses override; that says nothing of ours.
    assert not inherits_docstring("monai_hyperscale.networks.layers.resize", "VariableResize.extra_repr")

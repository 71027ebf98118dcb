"""The two floors and the direction of imports between them."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "advclip_gui"
SCREEN = {"PySide6", "shiboken6", "pyqtgraph", "qtpy", "qtawesome", "superqt", "PyQt5", "PyQt6"}
TENSORS = {"torch", "torchvision", "open_clip", "timm", "peft", "transformers"}
TORCH_FREE = (
    "settings",
    "presets",
    "engine.errors",
    "engine.events",
    "engine.control",
    "engine.files",
    "engine.resources",
    "engine.catalog",
    "engine.prompts",
    "engine.images",
    "engine.datasets",
    "engine.runs",
    "engine.run_list",
    "engine.run_import",
    "engine.run_removal",
    "engine.model_ref",
    "engine.statistics",
    "engine.perturbation_view",
    "engine.download",
    "engine.hub_errors",
)


def sources(folder: str) -> list[Path]:
    return sorted((PACKAGE / folder).rglob("*.py"))


def relative(path: Path) -> str:
    return path.relative_to(PACKAGE).as_posix()


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def run_python(code: str) -> str:
    """Run code in a fresh interpreter and return what it printed."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=False, cwd=ROOT, timeout=180
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def imported(tree: ast.AST) -> set[str]:
    """Top-level packages imported anywhere in a module, functions included."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def test_engine_and_command_line_work_where_there_is_no_qt() -> None:
    modules = [module_name(path) for path in sources("engine")]
    modules += [module_name(path) for path in sorted(PACKAGE.glob("*.py")) if path.name != "__main__.py"]
    modules += [module_name(path) for path in sources("commands")]
    code = f"""
import importlib, sys
class Screenless:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {SCREEN!r}:
            raise ImportError(f"{{name}} was asked for")
sys.meta_path.insert(0, Screenless())
for name in {modules!r}:
    importlib.import_module(name)
"""
    run_python(code)


@pytest.mark.parametrize("path", sources("engine"), ids=relative)
def test_the_engine_does_not_know_the_window(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    assert not imported(tree) & SCREEN
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            assert not node.module.startswith(("advclip_gui.gui", "advclip_gui.cli", "advclip_gui.commands"))


def test_the_window_opens_without_torch() -> None:
    code = f"""
import sys
import advclip_gui.gui.app
print(*sorted({TENSORS!r} & set(sys.modules)))
"""
    assert run_python(code).split() == []


def test_no_page_or_dialog_imports_torch() -> None:
    """A page opened before the engine is loaded must not load it on the main thread: that takes seconds."""
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in sources("gui")]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name.removesuffix(".__init__"))
    heavy = {TENSORS!r} & set(sys.modules)
    assert not heavy, (name, heavy)
"""
    run_python(code)


def test_torch_free_modules_stay_torch_free() -> None:
    names = [f"advclip_gui.{name}" for name in TORCH_FREE]
    code = f"""
import importlib, sys
for name in {names!r}:
    importlib.import_module(name)
    heavy = {TENSORS!r} & set(sys.modules)
    assert not heavy, (name, heavy)
"""
    run_python(code)


def test_the_command_line_starts_without_torch_and_qt() -> None:
    code = f"""
import sys
import advclip_gui.__main__, advclip_gui.cli
print(*sorted(({TENSORS!r} | {SCREEN!r}) & set(sys.modules)))
"""
    assert run_python(code).split() == []


@pytest.mark.parametrize("path", sources("gui"), ids=relative)
def test_the_window_imports_no_tensors_at_the_top(path: Path) -> None:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in tree.body:
        assert not imported(node) & TENSORS if isinstance(node, ast.Import | ast.ImportFrom) else True


_COLOUR = re.compile(
    r"""["'][^"'\n]*\#(?:[0-9a-fA-F]{8}|[0-9a-fA-F]{6}|[0-9a-fA-F]{3})\b   # "#rrggbb"
        |\bQColor\(\s*["'\d]                                               # QColor("red"), QColor(255,""",
    re.VERBOSE,
)
_FONT_SIZE = re.compile(r"font-size\s*:\s*\d|setPointSize(?:F)?\(\s*\d|setPixelSize\(\s*\d|\bQFont\(.*,\s*\d")


@pytest.mark.parametrize("path", [path for path in sources("gui") if path.name != "theme.py"], ids=relative)
def test_colours_and_type_sizes_are_written_in_the_theme_only(path: Path) -> None:
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        code = line.split("  #")[0]
        assert not _COLOUR.search(code), f"{path.name}:{number}: {line.strip()}"
        assert not _FONT_SIZE.search(code), f"{path.name}:{number}: {line.strip()}"


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=relative)
def test_every_module_says_its_purpose(path: Path) -> None:
    assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", sorted(PACKAGE.rglob("*.py")), ids=relative)
def test_nothing_unpickles_code(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import | ast.ImportFrom):
            assert not imported(node) & {"dill", "joblib", "cloudpickle"}
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        assert function not in {"pickle.load", "pickle.loads", "pickle.Unpickler"}, f"line {node.lineno}"
        if function == "torch.load":
            safe = {keyword.arg: ast.unparse(keyword.value) for keyword in node.keywords}
            assert safe.get("weights_only") == "True", f"line {node.lineno}"

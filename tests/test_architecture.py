"""Data flows one way: what may import what."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
LAYERS = ["cli", "evaluate", "predict", "explainers", "classifier", "loading", "modeling", "contribution"]


def imports(path: Path) -> set[str]:
    """Every module that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


@pytest.mark.parametrize("path", files("eraser_eval"), ids=str)
def test_eraser_eval_stands_alone(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {
        "torch",
        "transformers",
        "adapler_explain",
        "adapler_app",
    }


def test_eraser_eval_does_not_load_torch() -> None:
    program = "import sys, eraser_eval.score, eraser_eval.datasets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("path", files("adapler_explain"), ids=str)
def test_the_viewer_is_above_everything(path: Path) -> None:
    assert not {name.split(".")[0] for name in imports(path)} & {"adapler_app"}
    assert path.name == "view.py" or "streamlit" not in {name.split(".")[0] for name in imports(path)}


@pytest.mark.parametrize("path", sorted((ROOT / "app" / "adapler_app").glob("*.py")), ids=str)
def test_only_some_of_the_viewer_knows_streamlit_and_only_its_models_know_torch(path: Path) -> None:
    drawing = {"main.py", "components.py", "link.py", "models.py", "session.py"}
    assert path.name in drawing or "streamlit" not in {name.split(".")[0] for name in imports(path)}
    program = f"import sys, adapler_app.{path.stem}; sys.exit('torch' in sys.modules)"
    if path.name != "main.py":
        assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


@pytest.mark.parametrize("layer", range(len(LAYERS)))
def test_no_module_imports_one_above_it(layer: int) -> None:
    above = {f"adapler_explain.{name}" for name in LAYERS[:layer]}
    place = ROOT / "adapler_explain" / LAYERS[layer]
    for path in [place.with_suffix(".py")] if place.with_suffix(".py").exists() else sorted(place.glob("*.py")):
        assert not imports(path) & above, path


@pytest.mark.parametrize("path", files("adapler_explain"), ids=str)
def test_only_loading_makes_a_tokenizer_and_only_backbones_knows_bert(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert path.name == "loading.py" or "AutoTokenizer" not in text
    names = (".bert.", ".roberta.", ".distilbert.", ".electra.")
    assert path.parent.name == "backbones" or not any(name in text for name in names)


@pytest.mark.parametrize("path", [*files("adapler_explain"), *files("eraser_eval"), *files("app")], ids=str)
def test_nothing_is_unpickled(path: Path) -> None:
    assert not imports(path) & {"pickle", "joblib", "dill"}
    assert "torch.load" not in path.read_text(encoding="utf-8")

"""The folder's texts: tables in every form, a LaTeX document that holds all, and a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eraser_eval import escape
from eraser_eval.files import write_text
from eraser_eval.grid import Grid

HEAD = r"""\documentclass[11pt,twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\usepackage{booktabs,graphicx}
\title{AdapLeR: the experiment}
\date{}
\begin{document}
\maketitle
"""


def write_table(folder: Path, name: str, grid: Grid) -> None:
    """Write ``grid`` as ``<name>.tex`` and ``<name>.md``."""
    write_text(folder / f"{name}.tex", grid.latex())
    write_text(folder / f"{name}.md", grid.markdown())


def write_document(folder: Path, facts: Mapping[str, Any], left_out: Sequence[str]) -> None:
    """Write ``paper.tex`` and ``README.md`` about what lies in ``folder``."""
    tables = sorted(path.stem for path in folder.glob("*.tex") if path.name != "paper.tex")
    figures = sorted(path.relative_to(folder) for path in (folder / "figures").rglob("*.pdf"))
    body = [f"\\input{{{name}}}\n" for name in tables]
    body += [
        "\\begin{figure}[t]\n\\centering\n"
        f"\\includegraphics{{{path.as_posix()}}}\n"
        f"\\caption{{{escape.latex(' '.join((*path.parts[1:-1], path.stem)))}}}\n\\end{{figure}}\n"
        for path in figures
    ]
    write_text(folder / "paper.tex", HEAD + "".join(body) + "\\end{document}\n")
    lines = ["# The experiment of the AdapLeR paper", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    lines += [f"- Left out: {reason}" for reason in left_out]
    lines += ["- `pdflatex paper.tex` in this folder puts everything into one document.", ""]
    for name in tables:
        lines += [f"## {name.replace('-', ' ')}", "", (folder / f"{name}.md").read_text(encoding="utf-8")]
    lines += ["## Figures", "", *(f"- [{path.as_posix()}]({path.as_posix()})" for path in figures)]
    write_text(folder / "README.md", "\n".join(lines) + "\n")

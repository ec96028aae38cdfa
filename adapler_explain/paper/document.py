"""The folder's texts: tables in every form, a LaTeX document that holds all, and a README."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eraser_eval import escape
from eraser_eval.figures import KINDS
from eraser_eval.files import write_text
from eraser_eval.grid import Grid

HEAD = r"""\documentclass[11pt,twocolumn]{article}
\usepackage[T1]{fontenc}
\usepackage[utf8]{inputenc}
\IfFileExists{lmodern.sty}{\usepackage{lmodern}}{}
\usepackage{booktabs,graphicx}
\title{AdapLeR: the experiment}
\date{}
\begin{document}
\maketitle
"""
# Drawn for both columns of a page.
WIDE = ("bars",)
# What a figure shows whose file is none of the kinds of :mod:`eraser_eval.figures`.
SHOWN = {
    "frontier": "score over speedup on val; dotted: the fine-tuned model; ringed: the chosen point",
    "teacher": "score over speedup on val, by what teaches the predictors; dotted: the fine-tuned model; ringed: the "
    "fastest that loses at most one point",
    "phi": "score over speedup on val, by the weight of the length loss; dotted: the fine-tuned model; ringed: the "
    "fastest that loses at most one point",
}


def write_table(folder: Path, name: str, grid: Grid) -> None:
    """Write ``grid`` as ``<name>.tex`` and ``<name>.md``."""
    write_text(folder / f"{name}.tex", grid.latex())
    write_text(folder / f"{name}.md", grid.markdown())


def parts(folder: Path) -> list[tuple[str, list[str], list[Path]]]:
    """The parts of the document: a title, the names of its tables, and its figures, relative to ``folder``."""
    found: list[tuple[str, list[str], list[Path]]] = [("Tasks", ["tasks"], figures_in(folder, "tasks"))]
    for path in sorted(folder.glob("rationales-*.tex")):
        name = path.stem.removeprefix("rationales-")
        found.append((f"Rationales, {name}", [path.stem], figures_in(folder, name)))
    teachers = [path.stem for path in sorted(folder.glob("teachers-*.tex"))]
    found.append(("Ablations", ["ablations", "dropping", *teachers], figures_in(folder, "ablations")))
    there = [(title, [n for n in names if (folder / f"{n}.tex").is_file()], drawn) for title, names, drawn in found]
    return [(title, names, drawn) for title, names, drawn in there if names or drawn]


def figures_in(folder: Path, part: str) -> list[Path]:
    """The figures of a part, relative to ``folder``."""
    return sorted(path.relative_to(folder) for path in (folder / "figures" / part).glob("*.pdf"))


def caption(path: Path) -> str:
    """What the figure at ``path`` shows.

    >>> caption(Path("figures/tasks/sst2-frontier.pdf"))
    'sst2: score over speedup on val; dotted: the fine-tuned model; ringed: the chosen point'
    """
    name, _, kind = path.stem.rpartition("-")
    if kind in SHOWN:
        return f"{name}: {SHOWN[kind]}" if name else SHOWN[kind]
    return f"{path.parent.name}: {KINDS[path.stem].meaning}"


def write_document(folder: Path, facts: Mapping[str, Any], left_out: Sequence[str]) -> None:
    """Write ``paper.tex`` and ``README.md`` about what lies in ``folder``."""
    body, lines = [HEAD], ["# The experiment of the AdapLeR paper", ""]
    lines += [f"- {key}: {value}" for key, value in facts.items()]
    lines += [f"- Left out: {reason}" for reason in left_out]
    lines += ["- `pdflatex paper.tex` in this folder puts everything into one document.", ""]
    for title, names, drawn in parts(folder):
        body.append(f"\\section{{{escape.latex(title)}}}\n")
        lines += [f"## {title}", ""]
        for name in names:
            body.append(f"\\input{{{name}}}\n")
            lines += [(folder / f"{name}.md").read_text(encoding="utf-8")]
        for path in drawn:
            kind = "figure*" if path.stem in WIDE else "figure"
            body.append(
                f"\\begin{{{kind}}}[tbp]\n\\centering\n\\includegraphics{{{path.as_posix()}}}\n"
                f"\\caption{{{escape.latex(caption(path))}}}\n\\end{{{kind}}}\n"
            )
            lines += [f"![{caption(path)}]({path.with_suffix('.png').as_posix()})", "", f"{caption(path)}", ""]
    write_text(folder / "paper.tex", "".join([*body, "\\end{document}\n"]))
    write_text(folder / "README.md", "\n".join(lines) + "\n")

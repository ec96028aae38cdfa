"""A table for people, in Markdown and LaTeX (booktabs) alike; text in it is escaped for each."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from eraser_eval import escape, report

LATEX_MARKS = {"bold": "textbf", "underline": "underline", "italic": "textit"}
MARKDOWN_MARKS = {"bold": "**{}**", "underline": "<u>{}</u>", "italic": "*{}*"}


@dataclass(frozen=True)
class Shown:
    """A cell.

    Attributes:
        text: what it says.
        mark: ``bold``, ``underline``, ``italic`` or nothing.
        note: what stands behind it, smaller where that is possible: an interval, a spread.
    """

    text: str
    mark: str = ""
    note: str = ""

    def markdown(self) -> str:
        """The cell in Markdown."""
        text = MARKDOWN_MARKS.get(self.mark, "{}").format(report.escaped(self.text))
        return f"{text} {report.escaped(self.note)}" if self.note else text

    def latex(self) -> str:
        """The cell in LaTeX."""
        text = _latex(self.text)
        if self.mark:
            text = f"\\{LATEX_MARKS[self.mark]}{{{text}}}"
        return f"{text} {{\\scriptsize{_latex(self.note)}}}" if self.note else text


@dataclass(frozen=True)
class Grid:
    """A table: the first column is of names, the others of numbers.

    Attributes:
        head: a title a column.
        rows: a cell a column each; a plain string is a cell without marks.
        caption: what must be known to read it.
        foot: rows below a line.
        remarks: lines for who reads the source: signatures.
    """

    head: Sequence[str]
    rows: Sequence[Sequence[Shown | str]]
    caption: str = ""
    foot: Sequence[Sequence[Shown | str]] = ()
    remarks: Sequence[str] = ()

    def markdown(self) -> str:
        """The table, its caption and its remarks in Markdown."""
        head = [report.escaped(title) for title in self.head]
        rows = [[_cell(cell).markdown() for cell in row] for row in (*self.rows, *self.foot)]
        lines = ["| " + " | ".join(head) + " |", "|---" + "|---:" * (len(head) - 1) + "|"]
        lines += ["| " + " | ".join(row) + " |" for row in rows]
        lines += ["", report.escaped(self.caption)] if self.caption else []
        lines += ["", *(f"- `{remark}`" for remark in self.remarks)] if self.remarks else []
        return "\n".join(lines) + "\n"

    def latex(self) -> str:
        """The table as a float over both columns of a page; needs the packages booktabs and graphicx."""

        def line(row: Sequence[Shown | str]) -> str:
            text = " & ".join(_cell(cell).latex() for cell in row) + " \\\\"
            # LaTeX would read a bracket at the start of a line as an argument of the break before it.
            return f"{{}}{text}" if text.startswith("[") else text

        lines = [
            "% Needs the packages booktabs and graphicx.",
            "\\begin{table*}[t]",
            "\\centering",
            "\\resizebox{\\textwidth}{!}{%",
            f"\\begin{{tabular}}{{l{'r' * (len(self.head) - 1)}}}",
            "\\toprule",
            line(self.head),
            "\\midrule",
            *map(line, self.rows),
            *(["\\midrule", *map(line, self.foot)] if self.foot else []),
            "\\bottomrule",
            "\\end{tabular}}",
            f"\\caption{{{_latex(self.caption)}}}",
            "\\end{table*}",
            *(f"% {remark}" for remark in self.remarks),
        ]
        return "\n".join(lines) + "\n"


def csv(rows: Sequence[dict[str, object]]) -> str:
    """``rows`` as CSV, six significant digits."""
    text: str = pd.DataFrame(rows).to_csv(index=False, float_format="%.6g")
    return text


def _cell(cell: Shown | str) -> Shown:
    return cell if isinstance(cell, Shown) else Shown(cell)


def _latex(text: str) -> str:
    """``text`` escaped, with minus signs where a hyphen stands before a number."""
    return re.sub(r"(?<![\w.-])-(?=\d)", "$-$", escape.latex(text))

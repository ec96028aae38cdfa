"""Text from data sets, made harmless for the formats that it is written into."""

from __future__ import annotations

from html import escape

from eraser_eval.errors import printable

LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "%": r"\%",
    "_": r"\_",
    "^": r"\textasciicircum{}",
    "~": r"\textasciitilde{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    # \textquotedbl is not there in LaTeX's old encoding, which is its default.
    '"': r"\char34{}",
    "–": "--",
    "−": "$-$",
    "±": r"$\pm$",
    "×": r"$\times$",
    "≥": r"$\geq$",
    "≤": r"$\leq$",
    "→": r"$\rightarrow$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "γ": r"$\gamma$",
    "η": r"$\eta$",
    "θ": r"$\theta$",
    "λ": r"$\lambda$",
    "φ": r"$\phi$",
}


def latex(text: str) -> str:
    r"""``text`` as LaTeX that prints it; what cannot be printed is written as an escape.

    >>> latex("50% of \\x{y} & z")
    '50\\% of \\textbackslash{}x\\{y\\} \\& z'
    """
    return "".join(LATEX.get(character, character) for character in printable(text))


def html(text: str) -> str:
    """``text`` as HTML that shows it, by itself in whatever direction it is read."""
    return f"<bdi>{escape(printable(text))}</bdi>"

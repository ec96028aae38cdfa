"""One page about a run that can be sent to anyone: no script, nothing from the web, text from data sets escaped."""

from __future__ import annotations

import base64
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from eraser_eval import escape, figures, report
from eraser_eval.datasets import bundled
from eraser_eval.errors import DataError, MissingError
from eraser_eval.records import Example, Prediction, mask_of
from eraser_eval.runs import Run

Titles = Callable[[str], str]
TELLING = 10
MOST_WORDS = 400
STYLE = (
    "body{font:15px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#111}"
    "table{border-collapse:collapse;font-size:13px;display:block;overflow-x:auto}"
    "td,th{padding:.2rem .5rem;border-bottom:1px solid #ccc;text-align:right;white-space:nowrap}"
    "td:first-child,th:first-child{text-align:left}img{max-width:100%}figure{margin:1rem 0}"
    "mark{background:#cfe3f3}u{text-decoration-color:#D55E00;text-decoration-thickness:2px}"
    "pre{white-space:pre-wrap;font-size:12px}"
    "dt{font-weight:600}dd{margin:0 0 .4rem 0}article{border-top:1px solid #ccc;padding-top:.5rem}"
)
LIMITS = (
    "Agreement with people is plausibility. It does not say that an explanation is faithful to the model.",
    "Documents are read whole, in windows; a prediction is the mean over a document's windows.",
    "The share of marked words differs between splits and data sets; compare a figure with its level of chance.",
    "ERASER's AUPRC is a trapezoid that flatters tied scores; average precision does not. Equal scores are ranked by "
    "position where a number of words is chosen.",
)


def summary(figures_: Mapping[str, Any], titles: Titles) -> list[str]:
    """What the figures say, in sentences made from them."""
    methods = figures_["methods"]
    own = methods["adapler"]
    classes = figures_["classification"]
    kept = own["words_per_document"]
    lines = [
        f"On {figures_['documents']} documents of {figures_['title']} ({figures_['source']}, {figures_['split']}) the "
        f"pruned model is right in {100 * classes['pruned']['accuracy']:.1f} % of the cases, without removal in "
        f"{100 * classes['unpruned']['accuracy']:.1f} %, at {figures_['efficiency']['flops_speedup']:.2f} times fewer "
        "operations.",
        f"AdapLeR keeps {kept:.0f} words of a document; of the words that people did not mark it keeps "
        f"{100 * own['fpr']['value']:.1f} % ({100 * figures_['chance']['fpr']:.1f} % at random).",
    ]
    rivals = {
        method: values["average_precision"]["value"]
        for method, values in methods.items()
        if values.get("budget", "adapler") == "adapler" and values.get("average_precision", {}).get("value") is not None
    }
    if rivals:
        best = max(rivals, key=lambda method: rivals[method])
        chance = figures_["chance"].get("average_precision")
        level = "" if chance is None else f"; chance is {chance:.3f}"
        own_rank = f"; AdapLeR's own is {rivals['adapler']:.3f}" if best != "adapler" and "adapler" in rivals else ""
        lines.append(
            f"People's words are ranked best by {titles(best)} (average precision {rivals[best]:.3f}{level}){own_rank}."
        )
    falls = {m: v["comprehensiveness_aopc"]["value"] for m, v in methods.items() if "comprehensiveness_aopc" in v}
    falls = {method: value for method, value in falls.items() if value is not None and method in rivals}
    if falls:
        most = max(falls, key=lambda method: falls[method])
        lines.append(
            f"Erasing the highest-scoring words moves the prediction most for {titles(most)} "
            f"(comprehensiveness AOPC {falls[most]:.3f}; random words {falls.get('random', float('nan')):.3f})."
        )
    return lines + report.verdict(figures_)


def telling(run: Run, count: int = TELLING) -> list[tuple[str, str]]:
    """The ids of the documents most worth a look, and why.

    Alternately where AdapLeR's words agree least and most with people's, beside the mean of the other methods.

    Raises:
        DataError: no document has a figure to go by.
    """
    table = run.table.pivot_table(index="annotation_id", columns="method", values="average_precision", sort=False)
    if "adapler" not in table:
        raise DataError(run.folder, "has no predictions of adapler; the report needs them")
    others = [method for method in table.columns if method not in ("adapler", "gold", "all", "human")]
    gap = (table["adapler"] - table[others].mean(axis=1)).dropna().sort_values(kind="stable")
    ordered = [str(key) for key in gap.index]
    mixed = dict.fromkeys(key for both in zip(ordered, reversed(ordered), strict=True) for key in both)
    return [(key, f"average precision {gap[key]:+.3f} beside the other methods' mean") for key in mixed][:count]


def page(run: Run, titles: Titles) -> str:
    """The report as HTML."""
    with tempfile.TemporaryDirectory() as folder:
        drawn = _figures(run, Path(folder), titles)
    parts = [
        f"<h1>{escape.html(run.figures['title'])}, {escape.html(run.figures['split'])}</h1>",
        *(f"<p>{escape.html(line)}</p>" for line in summary(run.figures, titles)),
        "<h2>Methods</h2>",
        _table(*report.table_rows(run.figures)),
        "<h2>Differences to AdapLeR</h2>",
        _table(*report.difference_rows(run.figures)),
        "<h2>Figures</h2>",
        *drawn,
        "<h2>Documents worth a look</h2>",
        "<p>Tinted: the words that AdapLeR keeps. Underlined: the words that people marked.</p>",
        *_documents(run),
        "<h2>How it was made</h2>",
        *(f"<p>{escape.html(note)}</p>" for note in report.notes(run.figures)),
        _facts(run.manifest),
        "<h2>The data</h2>",
        _facts(data_card(run)),
        "<h2>The model's card</h2>",
        f"<pre>{escape.html(model_card(run.manifest))}</pre>",
        "<h2>Limits</h2>",
        *(f"<p>{escape.html(line)}</p>" for line in LIMITS),
        "<h2>Signatures</h2>",
        *(f"<p><code>{escape.html(run.figures['signatures'][name])}</code></p>" for name in report.shown(run.figures)),
    ]
    head = f'<meta charset="utf-8"><title>{escape.html(run.figures["title"])}</title><style>{STYLE}</style>'
    rule = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"
    policy = f'<meta http-equiv="Content-Security-Policy" content="{rule}">'
    return f'<!doctype html><html lang="en"><head>{policy}{head}</head><body>{"".join(parts)}</body></html>\n'


def markdown(run: Run, titles: Titles) -> str:
    """The same without figures, as Markdown."""
    lines = [f"# {report.escaped(run.figures['title'])}, {run.figures['split']}", ""]
    lines += [f"{report.escaped(line)}\n" for line in summary(run.figures, titles)]
    lines += [report.markdown(run.figures), "## Documents worth a look", ""]
    lines += [f"- {report.escaped(key)}: {reason}" for key, reason in telling(run)]
    lines += ["", "## The data", ""]
    lines += [f"- {name}: {report.escaped(value)}" for name, value in data_card(run).items()]
    return "\n".join([*lines, "", "## Limits", "", *(f"- {line}" for line in LIMITS)]) + "\n"


def data_card(run: Run) -> dict[str, str]:
    """What is known of the documents: what they are, how many, whose, and how the marked words lie in them."""
    split, words = run.split, [len(example.words) for example in run.split.examples]
    counts = pd.Series([example.label for example in split.examples]).value_counts()
    facts = {
        "data set": split.info.title,
        "split": f"{split.name}, {split.source}: {len(split.examples)} of {split.total} documents ({split.checksum})",
        "classes": ", ".join(f"{label} {counts.get(label, 0)}" for label in split.info.labels),
        "words of a document": f"{min(words)} to {max(words)}, median {int(pd.Series(words).median())}",
        "marked words": f"{run.figures['prevalence']:.3f} of a document",
        "licence": split.info.licence,
        "citation": split.info.citation,
        "from": split.info.url,
    }
    return {name: value for name, value in facts.items() if value}


def model_card(manifest: Mapping[str, Any]) -> str:
    """The README beside the model that was evaluated, or that there is none."""
    name = manifest["model"]
    try:
        folder = bundled(f"models/adapler-{manifest['dataset']}") if name == "bundled model" else Path(name)
        return (folder / "README.md").read_text(encoding="utf-8")
    except (OSError, ValueError, MissingError):
        return f"{name} has no README.md that can be read."


def _figures(run: Run, folder: Path, titles: Titles) -> list[str]:
    drawn = []
    for kind, row in figures.KINDS.items():
        try:
            made = figures.plot_run(run, kind, "web", folder, titles)
        except DataError:
            continue
        image = next(path for path in made if path.suffix == ".png")
        text = base64.b64encode(image.read_bytes()).decode()
        shown = f'<img alt="{row.meaning}" src="data:image/png;base64,{text}">'
        drawn.append(f"<figure>{shown}<figcaption>{row.meaning}</figcaption></figure>")
    return drawn


def _documents(run: Run) -> list[str]:
    examples = {example.id: example for example in run.split.examples}
    made = {prediction.id: prediction for prediction in run.predictions.get("adapler", ())}
    return [
        f"<article><h3>{escape.html(key)}</h3><p>{escape.html(reason)}; gold {escape.html(examples[key].label)}, "
        f"predicted {escape.html(str(made[key].label))}.</p>{_text(examples[key], made[key])}</article>"
        for key, reason in telling(run)
        if key in made
    ]


def _text(example: Example, prediction: Prediction) -> str:
    kept = mask_of(prediction.spans or (), example.documents)
    shown = []
    for place, word in enumerate(example.words[:MOST_WORDS]):
        cell = f"<u>{escape.html(word)}</u>" if example.gold_mask[place] else escape.html(word)
        shown.append(f"<mark>{cell}</mark>" if kept[place] else cell)
    left = len(example.words) - MOST_WORDS
    return f"<p>{' '.join(shown)}{f' … and {left} more words' if left > 0 else ''}</p>"


def _facts(manifest: Mapping[str, Any]) -> str:
    flat = pd.json_normalize(dict(manifest), sep=".").iloc[0]
    rows = (f"<dt>{escape.html(str(key))}</dt><dd>{escape.html(str(value))}</dd>" for key, value in flat.items())
    return f"<dl>{''.join(rows)}</dl>"


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    head = "".join(f"<th>{escape.html(cell)}</th>" for cell in header)
    # The table's own rows are in Markdown's italics.
    cells = ([cell.strip("*") if cell.startswith("*") else cell for cell in row] for row in rows)
    body = "".join("<tr>" + "".join(f"<td>{escape.html(cell)}</td>" for cell in row) + "</tr>" for row in cells)
    return f"<table><tr>{head}</tr>{body}</table>"

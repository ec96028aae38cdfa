"""The commands ``explain``, of one text, and ``sanity``, of methods."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from adapler_explain.cli_data import DataRoot
from adapler_explain.cli_tune import Dataset, Device, OperatingPoint
from eraser_eval.errors import UsageError
from eraser_eval.files import write_json, write_text

FORMATS = ("table", "json", "html", "latex")
PAGE = '<!doctype html>\n<html lang="en"><meta charset="utf-8"><title>Explanation</title>'
TOP = 20


def explain_command(
    text: Annotated[str, typer.Argument(help="The text.")],
    method: Annotated[str, typer.Option(help="Explainer, e.g. lime or attention@3 (a layer).")] = "adapler",
    model: Annotated[
        str | None, typer.Option(help="Checkpoint, AdapLeR's or a stock one. Default: the bundled.")
    ] = None,
    target: Annotated[str | None, typer.Option(help="Class to explain. Default: the predicted one.")] = None,
    query: Annotated[str, typer.Option(help="Goes before the text.")] = "",
    pair: Annotated[str | None, typer.Option(help="The second text of a pair.")] = None,
    output_format: Annotated[str, typer.Option("--format", help="table, json, html or latex.")] = "table",
    output: Annotated[str | None, typer.Option(help="Write it there instead of on stdout.")] = None,
    operating_point: OperatingPoint = "",
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of methods that draw.")] = 0,
) -> None:
    """Explain the prediction for one text, a score for each word."""
    if output_format not in FORMATS:
        raise UsageError(f"--format {output_format}: choose {', '.join(FORMATS)}")
    from adapler_explain.classifier import Classifier
    from adapler_explain.explainers import named
    from adapler_explain.explanation import explain
    from adapler_explain.loading import check_device
    from eraser_eval.datasets import bundled

    check_device(device)
    named(method, option="--method")
    classifier = Classifier.load(model or str(bundled("models/adapler-movies")), device)
    made = explain(
        classifier.model,
        classifier.tokenizer,
        text,
        method,
        target=target,
        query=query,
        pair=pair,
        seed=seed,
        operating_point=operating_point,
    )
    shown = {
        "json": lambda: json.dumps(made.to_dict(), indent=2, ensure_ascii=False) + "\n",
        "html": lambda: f"{PAGE}\n{made.to_html()}\n",
        "latex": made.to_latex,
        "table": lambda: table(made),
    }[output_format]()
    if output:
        write_text(Path(output), shown)
    else:
        typer.echo(shown, nl=False)


def table(made: object) -> str:
    """The prediction and the words that score highest, as text."""
    from adapler_explain.explanation import Explanation
    from eraser_eval.errors import printable

    assert isinstance(made, Explanation)
    cost = f"{made.cost.forward} windows forward, {made.cost.backward} back, {made.cost.flops / 1e9:.2f} GFLOPs"
    lines = [
        f"{made.title}: predicted {printable(made.label)} ({made.probabilities[made.label]:.3f}), "
        f"explained {printable(made.target)}; "
        f"{made.seconds:.3f} s, {cost}",
        *(f"{name.replace('_', ' ')} {value:.2g}" for name, value in made.facts.items() if isinstance(value, float)),
        *(f"{score:12.5g}  {printable(word)}" for word, score in made.top(TOP)),
    ]
    left = len(made.words) - TOP
    return "\n".join([*lines, *([f"… and {left} more words"] if left > 0 else [])]) + "\n"


def sanity_command(
    dataset: Dataset,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data_root: DataRoot = None,
    model: Annotated[str | None, typer.Option(help="AdapLeR checkpoint. Default: the bundled one.")] = None,
    methods: Annotated[str | None, typer.Option(help="Comma-separated. Default: the quick ones.")] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only so many documents, evenly spaced; 0: all.")] = 20,
    device: Device = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of the new weights, and of methods that draw.")] = 0,
    output: Annotated[str | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Do explanations change with the weights and the class, and are they the same for the same text?"""
    from adapler_explain.classifier import Classifier, all_windows
    from adapler_explain.evaluate import EvalConfig, load_models
    from adapler_explain.explainers import EXPLAINERS
    from adapler_explain.loading import check_device
    from adapler_explain.sanity import Checked, check
    from eraser_eval.check_report import sanity_terminal
    from eraser_eval.datasets import limited, load

    check_device(device)
    found = limited(load(dataset, split, Path(data_root) if data_root else None), limit)
    default = [name for name, row in EXPLAINERS.items() if row.default]
    named = tuple(name.strip() for name in methods.split(",") if name.strip()) if methods else tuple(default)
    config = EvalConfig(dataset, split, model=model, methods=named)
    classifier: Classifier = load_models(config, found, device).adapler
    all_windows(classifier, found)
    figures = {"dataset": dataset, "split": split, "source": found.source, "title": found.info.title} | check(
        Checked(classifier, found.examples, named, seed)
    )
    sanity_terminal(figures)
    if output:
        write_json(Path(output), figures)

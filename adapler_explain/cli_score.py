"""The commands ``score`` and ``validate``, which need no model."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from eraser_eval.errors import UsageError, printable

INTERVALS = ("percentile", "bca")


def score_command(
    data_dir: Annotated[str, typer.Option("--data-dir", "--data_dir", help="Folder in ERASER's format.")],
    split: Annotated[str, typer.Option(help="train, val or test.")],
    results: Annotated[
        list[str],
        typer.Option(help="Prediction file, or NAME=FILE. Repeatable: the others are compared with the first."),
    ],
    score_file: Annotated[str | None, typer.Option("--score-file", "--score_file", help="Where to write.")] = None,
    iou_thresholds: Annotated[
        list[float] | None, typer.Option("--iou-thresholds", "--iou_thresholds", help="Beside 0.5; one or several.")
    ] = None,
    aopc_thresholds: Annotated[
        list[float] | None,
        typer.Option(
            "--aopc-thresholds", "--aopc_thresholds", help="Default: the files' own; official: 0.01 0.05 0.1 0.2 0.5."
        ),
    ] = None,
    top_words: Annotated[list[int] | None, typer.Option(help="Cutoffs of precision, recall and F1, beside 10.")] = None,
    strict: Annotated[bool, typer.Option("--strict", help="Demand predicted classes.")] = False,
    official: Annotated[
        bool, typer.Option("--official", help="The figures of ERASER's own program, with its peculiarities.")
    ] = False,
    part: Annotated[bool, typer.Option("--part", help="The files may cover a part of the split.")] = False,
    output_format: Annotated[str, typer.Option("--format", help="table or json.")] = "table",
    interval: Annotated[str, typer.Option(help="percentile or bca.")] = "percentile",
    resamples: Annotated[int, typer.Option(min=100, help="Of the bootstrap and the tests.")] = 10_000,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Score prediction files of any system: every metric with interval, chance level, tests and signature."""
    from pathlib import Path

    from eraser_eval import report
    from eraser_eval import score_file as scoring
    from eraser_eval.files import write_text
    from eraser_eval.metrics.official import AOPC_THRESHOLDS, IOU_THRESHOLDS

    for option, value, choices in (("--format", output_format, ("table", "json")), ("--interval", interval, INTERVALS)):
        if value not in choices:
            raise UsageError(f"{option} {value}: choose {' or '.join(choices)}")
    if score_file and any(Path(score_file) == Path(entry.rpartition("=")[2]) for entry in results):
        raise UsageError(f"--score-file {score_file}: is one of --results; give another file")
    if official:
        if len(results) > 1:
            raise UsageError("--official: scores one file at a time; give one --results")
        figures = scoring.official_score_file(
            Path(data_dir),
            split,
            Path(results[0]),
            iou_thresholds or IOU_THRESHOLDS,
            aopc_thresholds or AOPC_THRESHOLDS,
            strict,
        )
        text = json.dumps(figures, indent=4, sort_keys=True) + "\n"
    else:
        config = scoring.ScoreConfig(
            data_dir=Path(data_dir),
            split=split,
            results=tuple(results),
            iou_thresholds=tuple(iou_thresholds or ()),
            cutoffs=tuple(top_words or ()),
            aopc_thresholds=tuple(aopc_thresholds) if aopc_thresholds else None,
            part=part,
            strict=strict,
            seed=seed,
            resamples=resamples,
            interval=interval,
        )
        figures = scoring.score_files(config)
        text = json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
    if score_file:
        write_text(Path(score_file), text)
    if official or output_format == "json":
        typer.echo(text, nl=False)
    else:
        report.score_terminal(figures)


def validate_command(
    data_dir: Annotated[str, typer.Option("--data-dir", "--data_dir", help="Folder in ERASER's format.")],
    split: Annotated[str, typer.Option(help="train, val or test.")],
    results: Annotated[str | None, typer.Option(help="Prediction file to check against it.")] = None,
) -> None:
    """List every defect of a data folder or of a prediction file: file, line, id and mend."""
    from pathlib import Path

    from eraser_eval.errors import DataError
    from eraser_eval.score_file import find_defects

    defects = find_defects(Path(data_dir), split, Path(results) if results else None)
    for defect in defects:
        typer.echo(printable(defect.text))
    if defects:
        raise typer.Exit(DataError.exit_code)
    typer.echo("no defects")


def spread(arguments: list[str]) -> list[str]:
    """Command-line words where an option followed by several values, ``--x 1 2``, is written ``--x 1 --x 2``.

    The official scorer takes its thresholds that way.
    """
    words: list[str] = []
    option = ""
    for place, word in enumerate(arguments):
        if word.startswith("--"):
            option = word if word.replace("_", "-") in ("--iou-thresholds", "--aopc-thresholds", "--top-words") else ""
        elif option and place and arguments[place - 1] != option:
            words.append(option)
        words.append(word)
    return words

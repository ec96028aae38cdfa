"""The command line: each command reads its options and calls one function elsewhere."""

from __future__ import annotations

import json
import os
import sys
from typing import Annotated

import typer

from adapler_explain import __version__, cli_data
from adapler_explain.cli_data import DataRoot
from eraser_eval.errors import UsageError, UserError, printable

app = typer.Typer(
    name="adapler-explain",
    help="AdapLeR: encoders that drop words layer by layer, and how well the words they keep agree with people.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)

app.add_typer(cli_data.app, name="data")

INTERRUPTED = 130
INTERVALS = ("percentile", "bca")


def _version(asked: bool) -> None:
    if asked:
        typer.echo(f"adapler-explain {__version__}")
        raise typer.Exit


@app.callback()
def options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """AdapLeR: encoders that drop words layer by layer, and how well the words they keep agree with people."""


@app.command("eval")
def eval_command(
    dataset: Annotated[str, typer.Option(help="Data set, e.g. movies.")],
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data_root: DataRoot = None,
    model: Annotated[str | None, typer.Option(help="AdapLeR checkpoint. Default: the bundled one.")] = None,
    reference_model: Annotated[
        str | None, typer.Option(help="Classifier that attention and gradients explain. Default: --model, removal off.")
    ] = None,
    methods: Annotated[str | None, typer.Option(help="Comma-separated. Default: all but integrated-gradients.")] = None,
    target: Annotated[str, typer.Option(help="Class to explain: predicted or gold.")] = "predicted",
    layer: Annotated[
        int | None, typer.Option(help="Layer (from 0) whose words are AdapLeR's. Default: the last.")
    ] = None,
    limit: Annotated[int, typer.Option(min=0, help="Only so many documents, evenly spaced; 0: all.")] = 0,
    output_dir: Annotated[
        str | None, typer.Option(help="Run folder. Default: runs/<dataset>-<split>[-sample].")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="table or json (metrics.json alone on stdout).")
    ] = "table",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of random scores and the bootstrap.")] = 0,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows in one forward pass.")] = 16,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    add: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE: one more row, from a prediction file (people's, for instance). Repeatable."),
    ] = None,
) -> None:
    """Compare AdapLeR's kept words with other explanations, against the words people marked."""
    if output_format not in ("table", "json"):
        raise UsageError(f"--format {output_format}: choose table or json")
    from adapler_explain.evaluate import EvalConfig, evaluate

    folder, figures = evaluate(
        EvalConfig(
            dataset=dataset,
            split=split,
            data_root=data_root,
            model=model,
            reference_model=reference_model,
            methods=tuple(name.strip() for name in methods.split(",") if name.strip()) if methods else (),
            target=target,
            layer=layer,
            limit=limit,
            output_dir=output_dir,
            device=device,
            seed=seed,
            batch_size=batch_size,
            resume=resume,
            add=tuple(add or ()),
        )
    )
    if output_format == "json":
        typer.echo(json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from eraser_eval.report import terminal

        terminal(figures)
    typer.echo(f"Written to {folder}", err=True)


@app.command("train")
def train_command(
    dataset: Annotated[str, typer.Option(help="Data set, e.g. movies.")],
    model: Annotated[str, typer.Option(help="Pretrained encoder: a folder or a hub id.")],
    output_dir: Annotated[str, typer.Option(help="Where the three stages write. An unfinished run there goes on.")],
    data_root: DataRoot = None,
    window_pieces: Annotated[int, typer.Option(help="Most pieces in a window, special ones included.")] = 512,
    windows_per_document: Annotated[
        int, typer.Option(min=0, help="Windows drawn from a document an epoch; 0: all.")
    ] = 0,
    fine_tune_epochs: Annotated[int, typer.Option(min=1)] = 5,
    fine_tune_lr: Annotated[float, typer.Option()] = 2e-5,
    saliency_epochs: Annotated[int, typer.Option(min=1, help="Best fine-tuning epochs to average saliency over.")] = 3,
    start: Annotated[str, typer.Option(help="AdapLeR training starts from: pretrained or fine-tuned.")] = "pretrained",
    epochs: Annotated[int, typer.Option(min=1, help="Of AdapLeR training.")] = 5,
    lr: Annotated[float, typer.Option(help="Of encoder and classifier in AdapLeR training.")] = 3e-5,
    predictor_lr: Annotated[float, typer.Option(help="Of the contribution predictors.")] = 1e-3,
    threshold_lr: Annotated[float, typer.Option(help="Of the thresholds eta and theta.")] = 5e-3,
    gamma: Annotated[float, typer.Option(help="Weight of the contribution loss.")] = 0.02,
    phi: Annotated[float, typer.Option(help="Weight of the length loss: more is shorter.")] = 3e-4,
    sharpness: Annotated[float, typer.Option(help="Lambda in the first epoch.")] = 10.0,
    sharpness_growth: Annotated[float, typer.Option(help="Factor of lambda from epoch to epoch.")] = 10.0,
    batch_size: Annotated[int, typer.Option(min=1, help="Windows a step.")] = 32,
    warmup: Annotated[float, typer.Option(min=0, max=1, help="Share of the steps.")] = 0.06,
    weight_decay: Annotated[float, typer.Option(min=0)] = 0.01,
    dropout: Annotated[float, typer.Option(min=0, max=0.99)] = 0.1,
    attention_dropout: Annotated[
        float, typer.Option(min=0, max=0.99, help="0 lets training use fused attention.")
    ] = 0.1,
    tolerance: Annotated[float, typer.Option(help="Validation accuracy that the kept model may lose.")] = 0.01,
    seed: Annotated[int, typer.Option(min=0)] = 0,
    limit: Annotated[int, typer.Option(min=0, help="Only so many documents of each split; 0: all.")] = 0,
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
) -> None:
    """Fine-tune, extract saliency, train AdapLeR; a stage that is complete is not run again."""
    asked = dict(locals())
    from adapler_explain.training import TrainConfig, train

    folder = train(TrainConfig(**asked))
    typer.echo(f"Kept model: {folder}", err=True)


@app.command("export")
def export_command(
    run: Annotated[str, typer.Argument(help="Output folder of a complete 'train' run.")],
    output_dir: Annotated[str, typer.Option(help="Where to write the model, its tokenizer and its card.")],
    evaluation: Annotated[str | None, typer.Option(help="Run folder of 'eval' with the exported model.")] = None,
    base_model: Annotated[str | None, typer.Option(help="What the card calls the pretrained encoder.")] = None,
) -> None:
    """Save the kept model in half precision, with a model card made from the run's own files."""
    from pathlib import Path

    from adapler_explain.export import export

    export(Path(run), Path(output_dir), Path(evaluation) if evaluation else None, base_model)


@app.command("score")
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


@app.command("validate")
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
        typer.echo(defect.text)
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


def main() -> None:
    """Run the command line; a user's error is one line on stderr and its exit code, never a traceback."""
    try:
        app(spread(sys.argv[1:]))
    except UserError as error:
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("stopped; eval goes on with --resume, train with the same command", file=sys.stderr)
        raise
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        print(f"error: {error.filename}: {error.strerror}; give another path", file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except Exception as error:
        if os.environ.get("ADAPLER_DEBUG"):
            raise
        line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        fault = f"internal error: {type(error).__name__}: {printable(line)}"
        print(f"{fault} (set ADAPLER_DEBUG=1 for the traceback and report it)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

"""The command line: each command reads its options and calls one function elsewhere."""

from __future__ import annotations

import errno
import io
import json
import os
import sys
import time
from typing import Annotated

import typer

from adapler_explain import (
    __version__,
    cli_bulk,
    cli_data,
    cli_explain,
    cli_paper,
    cli_score,
    cli_train,
    cli_tune,
    cli_view,
    parallel,
)
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
app.command("score")(cli_score.score_command)
app.command("validate")(cli_score.validate_command)
app.command("explain")(cli_explain.explain_command)
app.command("sanity")(cli_explain.sanity_command)
app.command("predict")(cli_bulk.predict_command)
app.command("bench")(cli_bulk.bench_command)
app.command("plot")(cli_paper.plot_command)
app.command("table")(cli_paper.table_command)
app.command("report")(cli_paper.report_command)
app.command("reproduce")(cli_paper.reproduce_command)
app.command("compare")(cli_paper.compare_command)
app.command("paper")(cli_paper.paper_command)
app.command("train")(cli_train.train_command)
app.command("tune")(cli_tune.tune_command)
app.command("measure")(cli_tune.measure_command)
app.command("view")(cli_view.view_command)

INTERRUPTED = 130


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
    methods: Annotated[
        str | None, typer.Option(help="Comma-separated, e.g. lime,attention@3 (a layer). Default: the quick ones.")
    ] = None,
    target: Annotated[str, typer.Option(help="Class to explain: predicted or gold.")] = "predicted",
    layer: Annotated[
        int | None, typer.Option(help="Layer (from 0) whose words are AdapLeR's. Default: the last.")
    ] = None,
    operating_point: cli_tune.OperatingPoint = "",
    limit: Annotated[int, typer.Option(min=0, help="Only so many documents, evenly spaced; 0: all.")] = 0,
    output_dir: Annotated[
        str | None, typer.Option(help="Run folder. Default: runs/<dataset>-<split>[-sample].")
    ] = None,
    output_format: Annotated[
        str, typer.Option("--format", help="table or json (metrics.json alone on stdout).")
    ] = "table",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0, help="Of random scores and the bootstrap.")] = 0,
    batch_size: Annotated[
        str, typer.Option(help="Windows in one pass of attention and gradients; auto: as many as fit.")
    ] = "auto",
    pool: Annotated[str, typer.Option(help="A word's score from its pieces': max, sum or mean.")] = "max",
    sign: Annotated[str, typer.Option(help="Scores as they are (signed), or absolute.")] = "signed",
    faithfulness: Annotated[
        str, typer.Option(help="Erase words to test rationales: remove, mask, pad or layer:NUMBER. Default: do not.")
    ] = "",
    fractions: Annotated[str, typer.Option(help="Shares of the words that are erased, and kept.")] = (
        "0.01,0.05,0.1,0.2,0.5"
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
    add: Annotated[
        list[str] | None,
        typer.Option(help="NAME=FILE: one more row, from a prediction file (people's, for instance). Repeatable."),
    ] = None,
    nproc: Annotated[int, typer.Option(min=1, help="Processes that share the work on this machine.")] = 1,
) -> None:
    """Compare AdapLeR's kept words with other explanations, against the words people marked."""
    if output_format not in ("table", "json"):
        raise UsageError(f"--format {output_format}: choose table or json")
    if nproc > 1 and not parallel.is_started():
        raise typer.Exit(parallel.start(sys.argv[1:], nproc))
    from adapler_explain.evaluate import EvalConfig, evaluate
    from adapler_explain.faithfulness import fractions_of

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
            operating_point=operating_point,
            limit=limit,
            output_dir=output_dir,
            device=device,
            seed=seed,
            batch_size=batch_size,
            pool=pool,
            sign=sign,
            faithfulness=faithfulness,
            fractions=fractions_of(fractions),
            resume=resume,
            add=tuple(add or ()),
        )
    )
    if not parallel.is_first_process():
        return
    if output_format == "json":
        typer.echo(json.dumps(figures, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        from eraser_eval.report import terminal

        terminal(figures)
    typer.echo(f"Written to {folder}", err=True)


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


def main() -> None:
    """Run the command line; a user's error is one line on stderr and its exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    parallel.end_with_starter()
    try:
        app(cli_score.spread(sys.argv[1:]))
    except UserError as error:
        if not parallel.is_first_process():
            # All processes of a job meet the same error; the first one's word is enough, and ends the others.
            time.sleep(1)
        print(f"error: {printable(str(error))}", file=sys.stderr)
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            print("stopped; eval and predict go on with --resume, train with the same command", file=sys.stderr)
        raise
    except (PermissionError, FileExistsError, NotADirectoryError, IsADirectoryError) as error:
        print(f"error: {error.filename}: {error.strerror}; give another path", file=sys.stderr)
        sys.exit(UsageError.exit_code)
    except Exception as error:
        if parallel.has_lost_another(error):
            # That one's word is enough, and ends this process.
            time.sleep(3)
        if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
            print(f"error: {printable(str(error.filename))[:80]}…: the name is too long; give another", file=sys.stderr)
            sys.exit(UsageError.exit_code)
        if os.environ.get("ADAPLER_DEBUG"):
            raise
        line = str(error).strip().splitlines()[0] if str(error).strip() else ""
        fault = f"internal error: {type(error).__name__}: {printable(line)}"
        print(f"{fault} (set ADAPLER_DEBUG=1 for the traceback and report it)", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()

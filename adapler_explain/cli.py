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


@app.command("predict")
def predict_command(
    input_path: Annotated[str, typer.Option("--input", help=".jsonl, .csv, .tsv, .parquet, text (one a line), or -.")],
    output: Annotated[str, typer.Option(help="A .jsonl or .csv file, or - for JSON lines on stdout.")],
    model: Annotated[str | None, typer.Option(help="AdapLeR checkpoint. Default: the bundled one.")] = None,
    explain: Annotated[bool, typer.Option("--explain", help="Write the words kept to the end as well.")] = False,
    input_format: Annotated[
        str | None, typer.Option(help="jsonl, csv, tsv, parquet or text. Default: by the ending.")
    ] = None,
    text_column: Annotated[str, typer.Option()] = "text",
    query_column: Annotated[str, typer.Option()] = "query",
    id_column: Annotated[str, typer.Option()] = "id",
    pair_column: Annotated[str, typer.Option(help="Second texts of pairs, where the input has this column.")] = (
        "text_pair"
    ),
    operating_point: cli_tune.OperatingPoint = "",
    dtype: Annotated[str, typer.Option(help="float32, bfloat16, float16 or int8.")] = "float32",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    batch_pieces: Annotated[int, typer.Option(min=1, help="Pieces in one forward pass.")] = 8192,
    skip_bad: Annotated[bool, typer.Option("--skip-bad", help="Report bad rows and go on.")] = False,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with an interrupted run.")] = False,
) -> None:
    """Classify any number of texts, streaming and in order, with the kept words on request."""
    from adapler_explain.bulk import bulk
    from adapler_explain.bulk_files import BulkConfig

    counts = bulk(
        BulkConfig(
            input=input_path,
            output=output,
            model=model,
            input_format=input_format,
            text=text_column,
            query=query_column,
            id=id_column,
            pair=pair_column,
            explain=explain,
            operating_point=operating_point,
            dtype=dtype,
            device=device,
            batch_pieces=batch_pieces,
            skip_bad=skip_bad,
            resume=resume,
        )
    )
    typer.echo(f"{counts['rows']} texts, {counts['skipped']} skipped", err=True)


@app.command("bench")
def bench_command(
    model: Annotated[str | None, typer.Option(help="AdapLeR checkpoint. Default: random weights of --shape.")] = None,
    shape: Annotated[str, typer.Option(help="bert-base, minilm or tiny.")] = "bert-base",
    keep: Annotated[str, typer.Option(help="With random weights: how many times fewer FLOPs, e.g. 10x,2x.")] = "10x",
    dataset: Annotated[str | None, typer.Option(help="With --model: time it on this data set's texts.")] = None,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data_root: DataRoot = None,
    accuracy: Annotated[
        bool, typer.Option("--accuracy", help="With --dataset: also what lower precision costs, on the whole split.")
    ] = False,
    sizes: Annotated[str | None, typer.Option(help="TEXTSxPIECES, e.g. 1x128,16x8-512; TEXTS with --dataset.")] = None,
    variants: Annotated[str | None, typer.Option(help="Comma-separated. Default: all that run here.")] = None,
    repeats: Annotated[int, typer.Option(min=1, help="Timed rounds at least, after one that warms up.")] = 5,
    seconds: Annotated[float, typer.Option(min=0, help="Rounds go on until the stock model ran this long.")] = 4.0,
    dtype: Annotated[str, typer.Option(help="float32, bfloat16 or float16, of the weights.")] = "float32",
    device: Annotated[str, typer.Option(help="torch device.")] = "cpu",
    seed: Annotated[int, typer.Option(min=0)] = 0,
    output: Annotated[str | None, typer.Option("--json", help="Write the rows there.")] = None,
    figure: Annotated[str | None, typer.Option(help="Draw the speedups there, as .png and .pdf.")] = None,
) -> None:
    """Time pruned inference beside the stock model and what else one would run, interleaved in one process."""
    from adapler_explain.bench import BenchConfig, bench, report

    try:
        times = tuple(float(number.strip().removesuffix("x")) for number in keep.split(","))
    except ValueError:
        raise UsageError(f"--keep {keep}: give numbers, e.g. --keep 10x,2x") from None

    def listed(names: str | None) -> tuple[str, ...]:
        return tuple(name.strip() for name in (names or "").split(",") if name.strip())

    report.check_outputs(output, figure)
    figures = bench(
        BenchConfig(
            model=model,
            shape=shape,
            keep=times,
            dataset=dataset,
            split=split,
            accuracy=accuracy,
            data_root=data_root,
            sizes=listed(sizes) or (("1", "32") if dataset else BenchConfig.sizes),
            variants=listed(variants),
            repeats=repeats,
            seconds=seconds,
            dtype=dtype,
            device=device,
            seed=seed,
        )
    )
    report.terminal(figures)
    report.write(figures, output, figure)


def main() -> None:
    """Run the command line; a user's error is one line on stderr and its exit code, never a traceback."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
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

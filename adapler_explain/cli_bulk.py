"""The commands ``predict`` and ``bench``: any number of texts, and how fast."""

from __future__ import annotations

from typing import Annotated

import typer

from adapler_explain.cli_data import DataRoot
from adapler_explain.cli_tune import OperatingPoint
from eraser_eval.errors import UsageError


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
    operating_point: OperatingPoint = "",
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

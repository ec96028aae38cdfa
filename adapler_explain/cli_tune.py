"""The commands ``tune`` and ``measure``, and the option that takes what ``tune`` stores."""

from __future__ import annotations

from typing import Annotated

import typer

from adapler_explain.cli_data import DataRoot
from eraser_eval.errors import UsageError

OperatingPoint = Annotated[
    str,
    typer.Option(
        help="Factor of the thresholds, above 1 keeps fewer pieces; or the name of a point of 'tune'. Default: 1."
    ),
]
Checkpoint = Annotated[str, typer.Argument(help="AdapLeR checkpoint, a folder.")]
Dataset = Annotated[str, typer.Option(help="Data set, e.g. movies.")]
Limit = Annotated[int, typer.Option(min=0, help="Only so many documents, evenly spaced; 0: all.")]
Device = Annotated[str, typer.Option(help="torch device.")]
Timing = Annotated[bool, typer.Option("--timing/--no-timing", help="Also measure the wall clock.")]


def tune_command(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "val",
    data_root: DataRoot = None,
    max_drop: Annotated[
        float | None, typer.Option(min=0, help="Fastest point that loses at most so much of the score. Default: 0.01.")
    ] = None,
    margin: Annotated[
        float, typer.Option(help="With --max-drop: the mean over thresholds so much lower to higher may lose no more.")
    ] = 0.1,
    speedup: Annotated[
        float | None, typer.Option(help="Best point that takes at least so many times fewer FLOPs, instead.")
    ] = None,
    reference_score: Annotated[
        float | None,
        typer.Option(help="What --max-drop counts from. Default: the fine-tuned model's, as training knew."),
    ] = None,
    name: Annotated[str | None, typer.Option(help="Of the stored point. Default: e.g. max-drop-0.01.")] = None,
    output_dir: Annotated[
        str | None, typer.Option(help="Of the frontier. Default: 'tune' in the training run, else runs/tune-<name>.")
    ] = None,
    limit: Limit = 0,
    device: Device = "cpu",
    timing: Timing = True,
) -> None:
    """Without training, find how fast the model is at which score, and store the wanted point in the checkpoint."""
    from adapler_explain.tuning import TuneConfig, tune
    from adapler_explain.tuning_results import terminal

    folder, figures = tune(
        TuneConfig(
            checkpoint=checkpoint,
            dataset=dataset,
            split=split,
            data_root=data_root,
            max_drop=max_drop,
            margin=margin,
            speedup=speedup,
            reference_score=reference_score,
            name=name,
            output_dir=output_dir,
            limit=limit,
            device=device,
            timing=timing,
        )
    )
    terminal(figures)
    typer.echo(f"Written to {folder}", err=True)


def measure_command(
    checkpoint: Checkpoint,
    dataset: Dataset,
    split: Annotated[str, typer.Option(help="train, val or test.")] = "test",
    data_root: DataRoot = None,
    operating_point: OperatingPoint = "",
    reference_model: Annotated[
        str | None,
        typer.Option(help="The fine-tuned model. Default: that of the training run, else the checkpoint, removal off."),
    ] = None,
    batch_sizes: Annotated[str, typer.Option(help="Windows in a timed batch, e.g. 1,32.")] = "1,32",
    limit: Limit = 0,
    device: Device = "cpu",
    timing: Timing = True,
    output: Annotated[str | None, typer.Option("--json", help="Write the figures there.")] = None,
) -> None:
    """Compare score and speed with the fine-tuned model's on a task: one row of a paper's table."""
    from adapler_explain.bench.report import check_outputs
    from adapler_explain.task_row import TaskConfig, task_row, terminal, write

    try:
        sizes = tuple(int(size) for size in batch_sizes.split(",") if size.strip())
    except ValueError:
        raise UsageError(f"--batch-sizes {batch_sizes}: give numbers, e.g. 1,32") from None
    check_outputs(output, None)
    figures = task_row(
        TaskConfig(
            checkpoint=checkpoint,
            dataset=dataset,
            split=split,
            data_root=data_root,
            operating_point=operating_point,
            reference_model=reference_model,
            batch_sizes=sizes if timing else (),
            limit=limit,
            device=device,
        )
    )
    terminal(figures)
    write(figures, output)

"""The command ``train``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from adapler_explain import parallel
from adapler_explain.cli_data import DataRoot


def train_command(
    dataset: Annotated[str, typer.Option(help="Data set, e.g. movies; or the path of your own.")],
    model: Annotated[str, typer.Option(help="Pretrained encoder: a folder or a hub id.")],
    output_dir: Annotated[str, typer.Option(help="Where the stages write. An unfinished run there goes on.")],
    data_root: DataRoot = None,
    recipe: Annotated[str, typer.Option(help="recommended or paper: defaults of what follows.")] = "recommended",
    teacher: Annotated[
        str | None,
        typer.Option(
            help="What teaches the predictors: input-x-gradient, integrated-gradients, attention-rollout, lrp, human."
        ),
    ] = None,
    teacher_power: Annotated[
        float | None, typer.Option(help="Power of the teacher's saliency: above 1 fewer pieces hold most of it.")
    ] = None,
    start: Annotated[str | None, typer.Option(help="AdapLeR training starts from: pretrained or fine-tuned.")] = None,
    distill: Annotated[
        float | None, typer.Option(help="Share of the task loss that follows the fine-tuned model's probabilities.")
    ] = None,
    gamma: Annotated[float | None, typer.Option(help="Weight of the contribution loss.")] = None,
    phi: Annotated[float | None, typer.Option(help="Weight of the length loss: more is shorter.")] = None,
    window_pieces: Annotated[int | None, typer.Option(help="Most pieces in a window, special ones included.")] = None,
    windows_per_document: Annotated[
        int | None, typer.Option(min=0, help="Windows drawn from a document an epoch; 0: all.")
    ] = None,
    fine_tune_epochs: Annotated[int | None, typer.Option(min=1)] = None,
    fine_tune_lr: Annotated[float | None, typer.Option()] = None,
    saliency_epochs: Annotated[
        int | None, typer.Option(min=1, help="Best fine-tuning epochs to average saliency over.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Of AdapLeR training.")] = None,
    lr: Annotated[float | None, typer.Option(help="Of encoder and classifier after fine-tuning.")] = None,
    predictor_lr: Annotated[float | None, typer.Option(help="Of the contribution predictors.")] = None,
    threshold_lr: Annotated[float | None, typer.Option(help="Of the thresholds eta and theta.")] = None,
    eta: Annotated[float | None, typer.Option(min=0.01, max=1, help="Where the thresholds start.")] = None,
    theta: Annotated[
        bool | None, typer.Option("--theta/--no-theta", help="Learn the factor of [CLS]'s contribution, or leave it 1.")
    ] = None,
    jitter: Annotated[
        float | None, typer.Option(help="Multiply thresholds in each step by a factor from 1/(1+jitter) to 1+jitter.")
    ] = None,
    recovery_epochs: Annotated[
        int | None,
        typer.Option(min=0, help="Epochs with hard removal after that, predictors and thresholds as they are."),
    ] = None,
    recovery_jitter: Annotated[float | None, typer.Option(help="As --jitter, of these.")] = None,
    sharpness: Annotated[float | None, typer.Option(help="Lambda in the first epoch.")] = None,
    sharpness_growth: Annotated[float | None, typer.Option(help="Factor of lambda from epoch to epoch.")] = None,
    first_sharpness: Annotated[float | None, typer.Option(help="Lambda in the very first step.")] = None,
    batch_size: Annotated[int | None, typer.Option(min=1, help="Windows a step, over all processes.")] = None,
    accumulate: Annotated[int | None, typer.Option(min=1, help="Parts that a step is computed in.")] = None,
    warmup: Annotated[float | None, typer.Option(min=0, max=1, help="Share of the steps.")] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0)] = None,
    clip: Annotated[float | None, typer.Option(min=0, help="Largest norm of a group's gradient.")] = None,
    dropout: Annotated[float | None, typer.Option(min=0, max=0.99)] = None,
    attention_dropout: Annotated[float | None, typer.Option(min=0, max=0.99)] = None,
    class_weights: Annotated[
        bool | None, typer.Option("--class-weights/--no-class-weights", help="Weigh classes by their rarity.")
    ] = None,
    tolerance: Annotated[float | None, typer.Option(help="Val score that the kept model may lose.")] = None,
    rescale: Annotated[
        bool | None,
        typer.Option("--rescale/--no-rescale", help="Lower the thresholds of an epoch that loses more than that."),
    ] = None,
    precision: Annotated[str | None, typer.Option(help="Of matrix products: float32, tfloat32 or bfloat16.")] = None,
    seed: Annotated[int | None, typer.Option(min=0)] = None,
    limit: Annotated[int | None, typer.Option(min=0, help="Only so many documents of train; 0: all.")] = None,
    val_limit: Annotated[int | None, typer.Option(min=0, help="Only so many documents of val; 0: all.")] = None,
    checkpoint_minutes: Annotated[float | None, typer.Option(min=0, help="How often a checkpoint is written.")] = None,
    device: Annotated[str | None, typer.Option(help="torch device.")] = None,
    stages_of: Annotated[
        str | None,
        typer.Option(help="Take the stages of this run that would come out the same."),
    ] = None,
    nproc: Annotated[int, typer.Option(min=1, help="Processes that share the work on this machine.")] = 1,
) -> None:
    """Fine-tune, extract saliency, train AdapLeR, recover. The same command again goes on where it was cut off."""
    asked = dict(locals())
    del asked["nproc"]
    if nproc > 1 and not parallel.is_started():
        raise typer.Exit(parallel.start(sys.argv[1:], nproc))
    from adapler_explain.training import TrainConfig, train

    folder = train(TrainConfig.of(**asked))
    if parallel.is_first_process():
        typer.echo(f"Kept model: {folder}", err=True)

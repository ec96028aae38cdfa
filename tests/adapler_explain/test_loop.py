"""Training that is cut off, goes astray, fills the disk, or is done by several processes."""

from __future__ import annotations

import json
import os
import random
import resource
import signal
import subprocess
import sys
import time
from dataclasses import asdict, replace
from itertools import chain
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import annotation, write_dataset
from safetensors.torch import load_file

from adapler_explain import checkpoint, loop, stages
from adapler_explain.training import TrainConfig, train
from eraser_eval.errors import DataError, StorageError
from eraser_eval.files import exclusive

WORDS = ["the", "film", "was", "good", "bad", "very", "long", "end", "and", "a", "but", "not"]


@pytest.fixture
def config(tmp_path: Path, stock_checkpoint: Path) -> TrainConfig:
    """Two dozen invented reviews; checkpoints after every step."""
    draw = random.Random(0)
    texts = {f"{n}.txt": " ".join(draw.choices(WORDS, k=draw.randint(3, 60))) for n in range(24)}
    rows = [annotation(name, "POS" if n % 2 else "NEG", (0, 2)) for n, name in enumerate(texts)]
    root = write_dataset(tmp_path / "data", texts, {"train": rows, "val": rows[:6]})
    return TrainConfig(
        dataset="movies",
        data_root=str(root),
        model=str(stock_checkpoint),
        output_dir=str(tmp_path / "run"),
        window_pieces=20,
        fine_tune_epochs=2,
        fine_tune_lr=1e-3,
        saliency_epochs=2,
        epochs=2,
        batch_size=4,
        attention_dropout=0.1,
        tolerance=1.0,
        checkpoint_minutes=0.0,
    )


def command(config: TrainConfig, *more: str) -> list[str]:
    """The command line that trains with ``config``."""
    words = [sys.executable, "-m", "adapler_explain.cli", "train"]
    for name, value in asdict(config).items():
        option = name.replace("_", "-")
        if value is None:
            continue
        if isinstance(value, bool):
            words.append(f"--{option}" if value else f"--no-{option}")
        else:
            words += [f"--{option}", str(value)]
    return [*words, *more]


def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1"}


def same_weights(first: Path, second: Path) -> bool:
    a, b = (load_file(folder / "model.safetensors") for folder in (first, second))
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def killed_until_done(config: TrainConfig, kills: int, seed: int) -> None:
    """Run the command, SIGKILL it at random moments ``kills`` times, and let it end the last time."""
    draw = random.Random(seed)
    folder = Path(config.output_dir)
    for _ in range(kills):
        running = subprocess.Popen(command(config), env=environment(), stderr=subprocess.PIPE, text=True)
        # The moment counts from when work begins: starting Python takes longer than the work.
        before = (folder / "metrics.jsonl").stat().st_size if (folder / "metrics.jsonl").exists() else 0
        while running.poll() is None and not (
            (folder / "metrics.jsonl").exists() and (folder / "metrics.jsonl").stat().st_size > before
        ):
            time.sleep(0.01)
        time.sleep(draw.uniform(0.0, 1.2))
        running.send_signal(signal.SIGKILL)
        running.communicate()
    ended = subprocess.run(command(config), env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr


def test_killed_at_random_moments_it_comes_to_the_same_weights(config: TrainConfig, tmp_path: Path) -> None:
    plain = replace(config, output_dir=str(tmp_path / "plain"))
    assert subprocess.run(command(plain), env=environment(), check=False).returncode == 0
    killed_until_done(config, kills=3, seed=int.from_bytes(os.urandom(2)))
    for name in ("fine-tuned", "soft", "adapler"):
        assert same_weights(Path(config.output_dir) / name, Path(plain.output_dir) / name)
    left = [path.name for path in Path(config.output_dir).rglob("*") if "partial" in path.name or ".tmp" in path.name]
    assert not left


@pytest.mark.parametrize("name", [".checkpoint.safetensors.1.tmp", ".tmprTTLpN"])
def test_what_a_killed_process_was_writing_is_swept_away(config: TrainConfig, name: str) -> None:
    leftover = Path(config.output_dir) / name
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half")
    train(config)
    assert not leftover.exists()


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6))
def test_killed_often_it_comes_to_the_same_weights(config: TrainConfig, tmp_path: Path, seed: int) -> None:
    plain = replace(config, output_dir=str(tmp_path / "plain"))
    # A process of its own as well: the number of threads decides the last bits.
    assert subprocess.run(command(plain), env=environment(), check=False).returncode == 0
    killed_until_done(config, kills=8, seed=seed)
    assert same_weights(Path(config.output_dir) / "adapler", Path(plain.output_dir) / "adapler")


def rows_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text(encoding="utf-8").splitlines()]


class StopError(Exception):
    pass


@pytest.mark.parametrize("stage", ["fine-tuning", "AdapLeR training", "recovery"])
@pytest.mark.parametrize("stop", [(0, 0), (0, 3), (1, 2)])
def test_cut_off_after_any_step_it_goes_on(
    config: TrainConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stage: str, stop: tuple[int, int]
) -> None:
    plain = replace(config, output_dir=str(tmp_path / "plain"))
    train(plain)
    usual = loop._take_step

    def cut_off(run: Any, course: Any, place: Any, *more: Any) -> Any:
        if (course.name, place.epoch, place.step) == (stage, *stop):
            raise StopError
        return usual(run, course, place, *more)

    with monkeypatch.context() as patch:
        patch.setattr(loop, "_take_step", cut_off)
        with pytest.raises(StopError):
            train(config)
    train(config)
    assert same_weights(Path(config.output_dir) / "adapler", Path(plain.output_dir) / "adapler")
    a, b = (
        [{k: v for k, v in row.items() if k not in ("time", "seconds")} for row in rows_of(Path(c.output_dir))]
        for c in (config, plain)
    )
    steps = [[row for row in rows if "step" in row or "score" in row] for rows in (a, b)]
    assert steps[0] == steps[1]


@pytest.mark.parametrize("what", ["nan", "explosion"])
def test_training_gone_astray_stops_and_says_where(
    config: TrainConfig, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    usual = stages.task_loss
    calls = 0

    def astray(*arguments: Any) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return usual(*arguments) * ((float("nan") if what == "nan" else 1e9) if calls == 3 else 1.0)

    monkeypatch.setattr(stages, "task_loss", astray)
    with pytest.raises(loop.DivergedError) as caught:
        train(config)
    good = Path(config.output_dir) / ".partial-fine-tuned" / "checkpoint.safetensors"
    message = str(caught.value)
    assert message.startswith("fine-tuning, epoch 1, step 3: the task loss is ") and str(good) in message
    assert sum(f"{n}.txt/" in message for n in range(24)) >= 1 and "\n" not in message
    assert all(torch.isfinite(tensor).all() for tensor in load_file(good).values())
    monkeypatch.setattr(stages, "task_loss", usual)
    train(config)


def test_a_full_disk_is_said_and_the_last_checkpoint_is_whole(config: TrainConfig) -> None:
    """A limit on the size of files makes the kernel refuse what a full disk would refuse."""
    first = replace(config, fine_tune_epochs=1)
    limit = 60_000

    def small_disk() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    ended = subprocess.run(
        command(first), env=environment(), capture_output=True, text=True, check=False, preexec_fn=small_disk
    )
    assert ended.returncode == StorageError.exit_code == 3, ended.stderr
    assert "free space" in ended.stderr and len(ended.stderr.strip().splitlines()) == 1
    partial = Path(first.output_dir) / ".partial-fine-tuned"
    assert not list(partial.rglob("*.tmp"))
    train(first)


def test_a_damaged_checkpoint_is_named(config: TrainConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(stages, "ranked", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            train(config)
    path = Path(config.output_dir) / ".partial-fine-tuned" / "checkpoint.safetensors"
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(DataError, match="no checkpoint of this run"):
        train(config)


def test_what_is_saved_is_restored(tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = torch.nn.Linear(3, 2)
    optimiser = torch.optim.AdamW(model.parameters(), lr=0.1, fused=True)
    for _ in range(2):
        model(torch.ones(1, 3)).sum().backward()
        optimiser.step()
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save(path, model, optimiser, {"epoch": 3})
    other = torch.nn.Linear(3, 2)
    second = torch.optim.AdamW(other.parameters(), lr=0.1, fused=True)
    assert checkpoint.restore(tmp_path / "none", other, second) == {}
    assert checkpoint.restore(path, other, second) == {"epoch": 3}
    for m, o in ((model, optimiser), (other, second)):
        m.zero_grad()
        m(torch.ones(1, 3)).square().sum().backward()
        o.step()
    assert torch.equal(model.weight, other.weight)


# ---------------------------------------------------------------- parts and processes


def losses_of(folder: Path) -> list[list[float]]:
    steps = [row for row in rows_of(folder) if "step" in row]
    return [[row[key] for key in ("task", "contribution", "length") if key in row] for row in steps]


@pytest.fixture
def every_step(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "LOG_EVERY", 1)


@pytest.mark.usefixtures("every_step")
def test_a_step_in_parts_has_the_losses_of_the_whole(config: TrainConfig, tmp_path: Path) -> None:
    plain = replace(config, dropout=0.0, attention_dropout=0.0, class_weights=True)
    parted = replace(plain, accumulate=3, output_dir=str(tmp_path / "parts"))
    train(plain)
    train(parted)
    a, b = (torch.tensor([*chain.from_iterable(losses_of(Path(c.output_dir)))]) for c in (plain, parted))
    torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-5)


def test_two_processes_have_the_losses_of_one(config: TrainConfig, tmp_path: Path) -> None:
    """Also with dropout, as a step is parted alike: one process with --accumulate 2, two with a part each."""
    single = replace(config, accumulate=2, output_dir=str(tmp_path / "one"))
    train(single)
    double = replace(config, accumulate=2, output_dir=str(tmp_path / "two"))
    ended = subprocess.run(
        command(double, "--nproc", "2"), env=environment(), capture_output=True, text=True, check=False
    )
    assert ended.returncode == 0, ended.stderr
    assert ended.stderr.count("Kept model") == 1
    a, b = (torch.tensor([*chain.from_iterable(losses_of(Path(c.output_dir)))]) for c in (single, double))
    torch.testing.assert_close(a[0], b[0], rtol=1e-5, atol=1e-6)
    # Later ones: where a gradient is next to nothing AdamW steps by its rounding, and removal is steep in what follows.
    torch.testing.assert_close(a, b, rtol=2e-3, atol=1e-5)
    one, two = (load_file(Path(c.output_dir) / "adapler" / "model.safetensors") for c in (single, double))
    # A softmax does not see what is added to all of its scores: the true gradient of these is 0, and AdamW steps by
    # their rounding.
    seen = {name: weight for name, weight in one.items() if not name.endswith((".out.bias", ".key.bias"))}
    for name, weight in seen.items():
        # The predictors' gradients are next to nothing at first: rounding alone turns their steps by some per cent.
        share = 0.25 if ".predictors." in name else 0.02
        assert (two[name] - weight).norm() <= share * weight.norm() + 1e-4, name
    lessons = [sorted(p.name for p in (Path(c.output_dir) / "saliency").iterdir()) for c in (single, double)]
    assert lessons[0] == lessons[1]


def workers_of(starter: int) -> list[int]:
    """The processes that ``starter`` has started, or had."""
    found = []
    for place in Path("/proc").glob("[0-9]*/environ"):
        try:
            mine = f"ADAPLER_STARTER={starter}\0".encode() in place.read_bytes()
        except OSError:
            continue
        found += [int(place.parent.name)] if mine else []
    return found


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="needs /proc")
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM], ids=lambda number: number.name)
def test_workers_end_with_their_starter(config: TrainConfig, number: signal.Signals) -> None:
    many = replace(config, epochs=500)
    said = Path(config.output_dir).with_name("said")
    with said.open("w") as file:
        starter = subprocess.Popen(command(many, "--nproc", "2"), env=environment(), stderr=file)
    for _ in range(1200):
        if (Path(config.output_dir) / "metrics.jsonl").is_file():
            break
        time.sleep(0.1)
    assert len(workers_of(starter.pid)) == 2, said.read_text()
    starter.send_signal(number)
    starter.wait()
    for _ in range(100):
        if not workers_of(starter.pid):
            break
        time.sleep(0.1)
    assert not workers_of(starter.pid)


def test_an_error_of_the_first_process_alone_is_said_once(config: TrainConfig) -> None:
    with exclusive(Path(config.output_dir)):
        ended = subprocess.run(
            command(config, "--nproc", "2"), env=environment(), capture_output=True, text=True, check=False
        )
    assert ended.returncode == 2
    assert ended.stderr.startswith("error: --output-dir") and ended.stderr.count("\n") == 1, ended.stderr


def test_an_error_of_all_processes_is_said_once(config: TrainConfig) -> None:
    bad = replace(config, dataset="nothing-of-the-kind")
    ended = subprocess.run(command(bad, "--nproc", "2"), env=environment(), capture_output=True, text=True, check=False)
    assert ended.returncode == 2
    assert ended.stderr.count("error:") == 1, ended.stderr

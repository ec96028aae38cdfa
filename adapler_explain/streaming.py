"""Predictions of whole splits: to disk as they come, shared out over processes, and read back where they are there."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from adapler_explain.parallel import World
from adapler_explain.predict import OWN, Explained, Known, predict
from adapler_explain.progress import Progress
from eraser_eval.datasets import Split
from eraser_eval.files import write_text
from eraser_eval.prediction_file import prediction_line, prediction_of
from eraser_eval.records import Example, Prediction

# Documents that are explained together, before any of them is written.
BATCH_WORDS = 4096
BATCH_DOCUMENTS = 32


def predict_all(
    split: Split, methods: Sequence[str], explained: Explained, folder: Path, workers: World
) -> dict[str, list[Prediction]]:
    """The predictions of every method: read from ``folder`` where it has them, else made and written to it."""
    known = Known()
    budgets: dict[str, int] = {}
    made: dict[str, list[Prediction]] = {}
    for method in methods:
        made[method] = _predict_method(split, method, explained, known, budgets, folder, workers)
        if method == OWN:
            budgets |= {p.id: p.words_chosen for p in made[method]}
    return made


def _predict_method(
    split: Split,
    method: str,
    explained: Explained,
    known: Known,
    budgets: Mapping[str, int],
    folder: Path,
    workers: World,
) -> list[Prediction]:
    """Each process makes its share of what is missing, in a file of its own; the first one puts the files together."""
    path, own = folder / f"{method}.jsonl", folder / f".{method}.jsonl.partial-{workers.rank}"
    whole = _read_whole_lines(path)
    if not all(example.id in whole for example in split.examples):
        done = _done(folder, method)
        share = workers.share([example for example in split.examples if example.id not in done])
        workers.wait()
        with ahead(own) as file, Progress(method, len(share), "documents", quiet=not workers.is_first) as progress:
            for batch in by_words(share):
                for prediction in predict(batch, method, explained, known, budgets):
                    file.write(prediction_line(prediction))
                file.flush()
                progress.advance(len(batch))
        workers.wait()
        if workers.is_first:
            done = _done(folder, method)
            write_text(path, "".join(prediction_line(done[example.id]) for example in split.examples))
            for partial in folder.glob(f".{method}.jsonl.partial*"):
                partial.unlink()
        workers.wait()
        whole = _read_whole_lines(path)
    return [whole[example.id] for example in split.examples]


def by_words(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """``examples`` in batches of at most :data:`BATCH_WORDS` words, or of one; those together are alike in length."""
    batch: list[Example] = []
    words = 0
    for example in sorted(examples, key=lambda example: len(example.words)):
        words += len(example.words)
        if batch and (words > BATCH_WORDS or len(batch) == BATCH_DOCUMENTS):
            yield batch
            batch, words = [], len(example.words)
        batch.append(example)
    if batch:
        yield batch


def _done(folder: Path, method: str) -> dict[str, Prediction]:
    """What any process, of this run or of one that was cut off, has predicted."""
    found = _read_whole_lines(folder / f"{method}.jsonl")
    for partial in sorted(folder.glob(f".{method}.jsonl.partial*")):
        found |= _read_whole_lines(partial)
    return found


@contextmanager
def ahead(path: Path) -> Iterator[IO[str]]:
    """``path``, open to write after its last whole line."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a+b") as file:
        file.seek(0)
        file.truncate(file.read().rfind(b"\n") + 1)
    with path.open("a", encoding="utf-8") as file:
        yield file


def _read_whole_lines(path: Path) -> dict[str, Prediction]:
    """The predictions of a file by id, of which any line may be damaged: those are left out, to be made again."""
    found: dict[str, Prediction] = {}
    for line in path.read_bytes().split(b"\n")[:-1] if path.exists() else []:
        try:
            prediction = prediction_of(json.loads(line))
        except ValueError:
            continue
        found[prediction.id] = prediction
    return found

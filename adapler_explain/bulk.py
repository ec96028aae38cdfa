"""Any number of texts in, predictions out: streaming, in order, in constant memory, and going on after a stop."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch

from adapler_explain import linear
from adapler_explain.bulk_files import FORMATS, STREAM, BulkConfig, rows_of, sink
from adapler_explain.classifier import Classifier
from adapler_explain.explainers.adapler import alive_in, survival_of
from adapler_explain.loading import check_device
from adapler_explain.progress import Progress
from adapler_explain.windows import TextError, Window, by_pieces, word_scores
from eraser_eval.datasets import bundled
from eraser_eval.datasets.rows import documents_of
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.records import Document, Example, spans_of

INT8 = "int8"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16, INT8: torch.float32}


@dataclass(frozen=True)
class Text:
    """A row of the input that can be read: its number from 1, its name, its document (of a pair, two), the windows."""

    row: int
    id: str
    documents: tuple[Document, ...]
    windows: Sequence[Window]

    def __len__(self) -> int:
        return sum(map(len, self.windows))


def bulk(config: BulkConfig) -> dict[str, int]:
    """How many rows this call predicted (``rows``) and skipped (``skipped``), after all is written.

    Raises:
        UsageError: an option cannot be used, or the output was begun otherwise.
        MissingError: the input or the model is not there.
        DataError: a row cannot be read and ``skip_bad`` is off, or the input has none. What was done by then is kept
            for ``resume``.
    """
    check(config)
    classifier = load(config)
    # What is stored under a name may change until the run goes on: the number counts.
    config = replace(config, operating_point=classifier.factor(config.operating_point))
    counts = {"rows": 0, "skipped": 0}
    with (
        sink(config, classifier.checksum, classifier.labels) as (file, done),
        Progress("predicting", None, "texts", done) as progress,
    ):
        for group in by_pieces(readable(config, classifier, done, counts), config.batch_pieces):
            for line in predictions(classifier, group, config):
                file.write(json.dumps(line, ensure_ascii=False, allow_nan=False) + "\n")
            file.flush()
            counts["rows"] += len(group)
            progress.advance(len(group))
        if not counts["rows"] and not done:
            raise DataError(config.input, "has no texts")
    return counts


def check(config: BulkConfig) -> None:
    """Raise UsageError for an option that cannot be used."""
    check_device(config.device)
    for option, value, choices in (
        ("--dtype", config.dtype, tuple(DTYPES)),
        ("--input-format", config.input_format or FORMATS[0], FORMATS),
        ("--output", Path(config.output).suffix if config.output != STREAM else ".jsonl", (".jsonl", ".csv")),
    ):
        if value not in choices:
            raise UsageError(f"{option} {value}: choose {' or '.join(choices)}")
    if config.dtype == INT8 and (config.device != "cpu" or not linear.has_vnni()):
        raise UsageError("--dtype int8: runs on CPUs with VNNI instructions; give float32 or bfloat16")
    if config.output == STREAM and config.resume:
        raise UsageError("--resume: needs a file as --output")


def load(config: BulkConfig) -> Classifier:
    """The classifier, in the type that was asked for."""
    classifier = Classifier.load(config.model or bundled("models/adapler-movies"), config.device)
    if not hasattr(classifier.model, "adapler"):
        raise UsageError(f"--model {config.model}: not an AdapLeR checkpoint; train one with 'adapler-explain train'")
    classifier.model.to(DTYPES[config.dtype])
    classifier.model.quantized = config.dtype == INT8
    return classifier


def predictions(classifier: Classifier, group: Sequence[Text], config: BulkConfig) -> Iterator[dict[str, Any]]:
    """The output of each text of ``group``, in order."""
    windows = [window for text in group for window in text.windows]
    shares: list[Any] = []
    survival: list[Any] = []
    for part, output in classifier.pruned(windows, config.batch_pieces, config.operating_point):
        shares += output.logits.cpu().double().softmax(-1).numpy().tolist()
        survival += [row[: len(window)] for row, window in zip(survival_of(output), part, strict=True)]
    if not np.isfinite(shares).all():
        raise MissingError("the model gives no finite probabilities; its weights are damaged, give another checkpoint")
    layers = classifier.model.config.num_hidden_layers
    begin = 0
    for text in group:
        end = begin + len(text.windows)
        probabilities = np.mean(shares[begin:end], axis=0)
        line = {
            "row": text.row,
            "annotation_id": text.id,
            "classification": classifier.labels[int(probabilities.argmax())],
            "classification_scores": dict(zip(classifier.labels, map(float, probabilities), strict=True)),
        }
        yield line | (rationale(text, survival[begin:end], layers) if config.explain else {})
        begin = end


def rationale(text: Text, survival: Sequence[Any], layers: int) -> dict[str, Any]:
    """The words alive at the end, in ERASER's format and as text; soft scores are how long each word survived."""
    words = [word for document in text.documents for word in document.words]
    scores = word_scores(survival, text.windows, len(words))
    mask = alive_in(scores, layers - 1)
    entries = []
    begin = 0
    for document in text.documents:
        end = begin + len(document)
        spans = spans_of(mask[begin:end], [document])
        entry: dict[str, Any] = {"docid": document.docid}
        entry["hard_rationale_predictions"] = [{"start_token": s.start, "end_token": s.end} for s in spans]
        entry["soft_rationale_predictions"] = scores[begin:end].round(6).tolist()
        entries.append(entry)
        begin = end
    return {"rationales": entries, "kept_words": [word for word, kept in zip(words, mask, strict=True) if kept]}


def readable(config: BulkConfig, classifier: Classifier, done: int, counts: dict[str, int]) -> Iterator[Text]:
    """The texts after row ``done``; a bad row is an error, or, with ``skip_bad``, a line on stderr."""
    where = Path("standard input" if config.input == STREAM else config.input)
    for number, row in islice(rows_of(config, where), done, None):
        try:
            if isinstance(row, DataError):
                raise row
            yield _text_of(row, number, config, classifier, where)
        except DataError as error:
            if not config.skip_bad:
                raise
            counts["skipped"] += 1
            print(f"skipped: {error}", file=sys.stderr)


def _text_of(row: Mapping[str, Any], number: int, config: BulkConfig, classifier: Classifier, where: Path) -> Text:
    query = row.get(config.query) or ""
    if not isinstance(query, str):
        raise DataError(where, f"the query in column {config.query!r} must be a text", number)
    identifier = str(row.get(config.id) or f"row-{number}")
    try:
        documents = documents_of(row, identifier, config.text, config.pair)
        example = Example(identifier, documents, "", query=query, pair=len(documents) == 2)
        return Text(number, identifier, documents, classifier.windows_of(example))
    except (ValueError, TextError) as error:
        raise DataError(where, str(error), number) from None

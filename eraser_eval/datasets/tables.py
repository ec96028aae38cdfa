"""Reading the tables of a known data set, and drawing val from train where it has none."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from itertools import compress
from pathlib import Path

import numpy as np

from eraser_eval.datasets import rows
from eraser_eval.datasets.info import DatasetInfo, Tables
from eraser_eval.errors import DataError, MissingError
from eraser_eval.files import checksum
from eraser_eval.records import BoolArray, Example

SEED = 0


def read(info: DatasetInfo, tables: Tables, folder: Path, split: str) -> tuple[list[Example], Path, str]:
    """The examples of ``split``, in file order; the file that holds them; and their checksum.

    Raises:
        MissingError: there is no file, or the labels of the split are not public.
        DataError: the file is broken, or too short for val to be drawn from it.
    """
    file, drawn = split_file(info, tables, folder, split)
    examples = rows.read_table(file, tables.columns, info.labels, info.pairs)
    examples = examples if info.reads_query else [_without_query(example) for example in examples]
    if not drawn:
        return examples, file, checksum([file])
    count = tables.val_texts
    if len(examples) <= 2 * count:
        message = f"has {len(examples)} texts, of which {count} become val; that would not leave more for train"
        raise DataError(file, f"{message}: get the whole file, or put a val file beside it")
    in_val = val_mask(len(examples), count)
    rule = f"{checksum([file])} {split}: val is {count} texts, seed {SEED}"
    digest = hashlib.sha256(rule.encode()).hexdigest()[:16]
    return list(compress(examples, in_val if split == "val" else ~in_val)), file, f"sha256:{digest}"


def split_file(info: DatasetInfo, tables: Tables, folder: Path, split: str) -> tuple[Path, bool]:
    """The file that holds ``split``, which need not be there, and whether it holds val and train together.

    Raises:
        MissingError: the labels of the split are not public.
    """
    if split not in tables.files:
        raise MissingError(f"--split {split}: the {split} labels of {info.title} are not public; use --split val")
    if tables.val_texts and split in ("train", "val"):
        own = first_file(folder, tables.files["val"])
        if not own.is_file():
            return first_file(folder, tables.files["train"]), True
    return first_file(folder, tables.files[split]), False


def val_mask(texts: int, count: int) -> BoolArray:
    """Which ``count`` of the ``texts`` of train become val, ``[texts]``: those with the lowest of drawn numbers.

    The numbers are those of numpy's ``default_rng`` with seed 0, so that the split is the same everywhere. Both parts
    keep the order of the file.
    """
    mask = np.zeros(texts, dtype=bool)
    mask[np.argsort(np.random.default_rng(SEED).random(texts), kind="stable")[:count]] = True
    return mask


def first_file(folder: Path, names: Sequence[str]) -> Path:
    """The first of ``names``, each also with ``.gz``, that is a file in ``folder``; else the path of the first name."""
    paths = [folder / f"{name}{packed}" for name in names for packed in ("", rows.PACKED)]
    return next((path for path in paths if path.is_file()), paths[0])


def _without_query(example: Example) -> Example:
    return replace(example, query="") if example.query else example

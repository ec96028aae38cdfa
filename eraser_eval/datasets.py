"""The data sets with human rationales, and where their files are looked for."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path

from eraser_eval.errors import MissingError, UsageError
from eraser_eval.files import checksum
from eraser_eval.jsonl import DocumentStore, read_examples
from eraser_eval.records import Example

SPLITS = ("train", "val", "test")


@dataclass(frozen=True)
class DatasetInfo:
    """What is fixed about a data set.

    Attributes:
        name: the name given to ``--dataset``.
        title: for people.
        labels: the classes, in the order of the classifier's outputs.
        folders: where the release lies below a data root; the first that exists is used.
        has_sample: whether a sample, and a model for it, are bundled with this package.
        citation: the paper to cite.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    folders: tuple[str, ...]
    has_sample: bool = False
    citation: str = ""


DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            name="movies",
            title="ERASER Movie Reviews",
            labels=("NEG", "POS"),
            folders=("eraser/movies", "movies"),
            has_sample=True,
            citation="Zaidan et al. 2007; DeYoung et al. 2020 (ERASER)",
        ),
        DatasetInfo(
            name="hatexplain",
            title="HateXplain",
            labels=("hatespeech", "normal", "offensive"),
            folders=("eraser/hatexplain", "hatexplain"),
            citation="Mathew et al. 2021",
        ),
    )
}


@dataclass(frozen=True)
class Split:
    """The examples of one split and where they came from.

    Attributes:
        info: the data set.
        name: ``train``, ``val`` or ``test``.
        source: ``release`` (the files of the benchmark) or ``bundled sample``.
        folder: the folder that was read.
        examples: in file order.
        checksum: of the split file and of every document it names, see :func:`eraser_eval.files.checksum`.
        total: examples in the file, of which ``examples`` may be a part.
    """

    info: DatasetInfo
    name: str
    source: str
    folder: Path
    examples: tuple[Example, ...]
    checksum: str
    total: int


def find(name: str, root: Path | None = None) -> tuple[DatasetInfo, str, Path]:
    """The data set called ``name``: what it is, its source, and the folder of its files.

    The release is looked for below ``root``, which must hold it; without ``root``, below the folder that the
    environment variable ``ADAPLER_DATA`` names, which may. Else the bundled sample is taken, if the data set has one.

    Raises:
        UsageError: no such data set.
        MissingError: ``root`` is given but the release is not below it, or there is neither a release nor a sample.
    """
    if name not in DATASETS:
        raise UsageError(f"--dataset {name}: unknown data set; choose from {', '.join(DATASETS)}")
    info = DATASETS[name]
    given = root if root is not None else Path(os.environ.get("ADAPLER_DATA") or os.devnull)
    for folder in info.folders:
        if (given / folder).is_dir():
            return info, "release", given / folder
    if root is not None:
        raise MissingError(
            f"--data-root {root}: {info.title} is not there; expected a folder {' or '.join(info.folders)} "
            "(name its parent, or leave --data-root out for the bundled sample)"
        )
    if info.has_sample:
        return info, "bundled sample", bundled(f"sample/{name}")
    raise MissingError(f"--dataset {name}: its files are not here; give --data-root or set ADAPLER_DATA")


def load(name: str, split: str, root: Path | None = None) -> Split:
    """One split of a data set, parsed and checked.

    Raises:
        UsageError: no such data set or split.
        MissingError: the files are not there.
        DataError: a file is broken; see :func:`eraser_eval.jsonl.read_examples`.
    """
    if split not in SPLITS:
        raise UsageError(f"--split {split}: unknown split; choose from {', '.join(SPLITS)}")
    info, source, folder = find(name, root)
    documents = DocumentStore(folder)
    examples = tuple(read_examples(folder / f"{split}.jsonl", documents, info.labels))
    collected = folder / "docs.jsonl"
    names = sorted({document.docid for example in examples for document in example.documents})
    sources = [collected] if collected.is_file() else [folder / "docs" / docid for docid in names]
    return Split(info, split, source, folder, examples, checksum([folder / f"{split}.jsonl", *sources]), len(examples))


def limited(split: Split, limit: int) -> Split:
    """``split`` with only ``limit`` examples, evenly spaced over the file (releases are sorted by class); all for 0."""
    if not 0 < limit < len(split.examples):
        return split
    return replace(split, examples=tuple(split.examples[i * len(split.examples) // limit] for i in range(limit)))


def bundled(name: str) -> Path:
    """The folder ``data/<name>`` that comes with the package, in a checkout as in an installed wheel.

    Raises:
        MissingError: the installation lacks it.
    """
    package = Path(__file__).resolve().parent
    for folder in (package / "data" / name, package.parent / "data" / name):
        if folder.is_dir():
            return folder
    raise MissingError(f"bundled {name} is missing from this installation; install adapler-explain again")

"""What is fixed about a data set, and how the tables of one are read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from eraser_eval.datasets.rows import Columns


@dataclass(frozen=True)
class Tables:
    """How a data set is read that comes as tables instead of in ERASER's format.

    Attributes:
        files: split to the names that its file may have (each also with ``.gz``); the first that is there is read. A
            split without names has no public labels, but for a val split that is drawn from train.
        columns: what the columns may be called; a file is read by the first of these that fits its first row.
        hub: the data set and its configuration on the Hugging Face hub.
        hub_splits: split to its name on the hub.
        val_texts: how many texts of train become val where there is no file of val; 0: none.
    """

    files: Mapping[str, tuple[str, ...]]
    columns: tuple[Columns, ...]
    hub: tuple[str, str | None]
    hub_splits: Mapping[str, str]
    val_texts: int = 0


@dataclass(frozen=True)
class DatasetInfo:
    """What is fixed about a data set.

    Attributes:
        name: the name given to ``--dataset``.
        title: for people.
        labels: the classes, in the order of the classifier's outputs.
        folders: where the release lies below a data root; the first that exists is used.
        counts: split to its number of annotations.
        reads_query: whether a model reads the query, in front of the documents. A query that is the same for all
            examples is not read.
        pairs: whether the two documents of an example are a pair, which a model reads as first and second text.
        checksums: file of the release to its SHA-256, where it is known.
        url: where ``data fetch`` gets it; tables come from the hub instead.
        licence: of the texts and annotations, as far as their authors give one.
        citation: the papers to cite.
        has_sample: whether a sample, and a model for it, are bundled with this package.
        metric: what validation compares: ``accuracy``, or ``f1`` of the last class.
        window_pieces: most pieces in a window, special ones included, where training is not told another number.
        recipe: defaults of training: ``gamma`` and ``phi``, the weights of the contribution and the length loss, for an
            encoder of six layers. What a text can be shortened by is counted in pieces: φ is smaller where texts are
            longer.
        published: the paper's own ``gamma`` and ``phi``, where they are known.
        tables: how its tables are read; None: it is in ERASER's format.
    """

    name: str
    title: str
    labels: tuple[str, ...]
    folders: tuple[str, ...]
    counts: Mapping[str, int] = field(default_factory=dict)
    reads_query: bool = False
    pairs: bool = False
    checksums: Mapping[str, str] = field(default_factory=dict)
    url: str = ""
    licence: str = ""
    citation: str = ""
    has_sample: bool = False
    metric: str = "accuracy"
    window_pieces: int = 512
    recipe: Mapping[str, float] = field(default_factory=lambda: {"gamma": 0.03, "phi": 5e-4})
    published: Mapping[str, float] = field(default_factory=dict)
    tables: Tables | None = None

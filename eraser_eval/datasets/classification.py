"""The classification tasks of AdapLeR's paper that come as tables: GLUE's, and long-known sets of texts.

The paper (Modarressi et al. 2022) draws val from train where a data set has none. In files a class is its name or its
place in ``labels``, from 0.
"""

from __future__ import annotations

from collections.abc import Mapping

from eraser_eval.datasets.info import DatasetInfo, Tables
from eraser_eval.datasets.rows import Columns

SINGLE, PAIR = Columns(pair=""), Columns()
LABELLED = {"train": "train", "val": "validation"}
GLUE = "Wang et al. 2019 (GLUE)"


def _files(*splits: str, **released: tuple[str, ...]) -> Mapping[str, tuple[str, ...]]:
    """Names for each of ``splits``: those ``released``, then what ``data fetch`` writes and its like."""
    return {split: (*released.get(split, ()), f"{split}.jsonl", f"{split}.csv", f"{split}.tsv") for split in splits}


CLASSIFICATION = (
    DatasetInfo(
        name="sst2",
        title="SST-2 (GLUE)",
        labels=("negative", "positive"),
        folders=("glue/SST-2", "SST-2", "sst2"),
        counts={"train": 67349, "val": 872},
        licence="not stated",
        citation=f"Socher et al. 2013; {GLUE}",
        window_pieces=64,
        recipe={"gamma": 0.03, "phi": 2.5e-3},
        published={"gamma": 0.005, "phi": 5e-4},
        tables=Tables(
            files=_files("train", "val", val=("dev.tsv",)),
            columns=(SINGLE, Columns(text="sentence", pair="")),
            hub=("nyu-mll/glue", "sst2"),
            hub_splits=LABELLED,
        ),
    ),
    DatasetInfo(
        name="imdb",
        title="IMDB",
        labels=("negative", "positive"),
        folders=("imdb",),
        counts={"train": 20904, "val": 4096, "test": 25000},
        licence="not stated",
        citation="Maas et al. 2011",
        tables=Tables(
            files=_files("train", "val", "test"),
            columns=(SINGLE,),
            hub=("stanfordnlp/imdb", None),
            hub_splits={"train": "train", "test": "test"},
            val_texts=4096,
        ),
    ),
    DatasetInfo(
        name="mrpc",
        title="MRPC (GLUE)",
        labels=("not_equivalent", "equivalent"),
        folders=("glue/MRPC", "MRPC", "mrpc"),
        counts={"train": 3668, "val": 408, "test": 1725},
        pairs=True,
        licence="not stated",
        citation=f"Dolan and Brockett 2005; {GLUE}",
        metric="f1",
        window_pieces=128,
        # GLUE's own test.tsv has no labels; the original test file has.
        recipe={"gamma": 0.03, "phi": 2e-3},
        tables=Tables(
            files=_files("train", "val", "test", val=("dev.tsv",), test=("msr_paraphrase_test.txt",)),
            columns=(
                PAIR,
                Columns(text="#1 String", pair="#2 String", label="Quality"),
                Columns(text="sentence1", pair="sentence2"),
            ),
            hub=("nyu-mll/glue", "mrpc"),
            hub_splits={**LABELLED, "test": "test"},
        ),
    ),
    DatasetInfo(
        name="mnli",
        title="MNLI matched (GLUE)",
        labels=("entailment", "neutral", "contradiction"),
        folders=("glue/MNLI", "MNLI", "mnli"),
        counts={"train": 392702, "val": 9815},
        pairs=True,
        licence="OANC licence, CC BY-SA 3.0 and CC BY 3.0, by genre",
        citation=f"Williams et al. 2018; {GLUE}",
        window_pieces=128,
        recipe={"gamma": 0.03, "phi": 3e-3},
        tables=Tables(
            files=_files("train", "val", val=("dev_matched.tsv",)),
            columns=(
                PAIR,
                Columns(text="sentence1", pair="sentence2", label="gold_label"),
                Columns(text="premise", pair="hypothesis"),
            ),
            hub=("nyu-mll/glue", "mnli"),
            hub_splits={"train": "train", "val": "validation_matched"},
        ),
    ),
    DatasetInfo(
        name="qnli",
        title="QNLI (GLUE)",
        labels=("entailment", "not_entailment"),
        folders=("glue/QNLI", "QNLI", "qnli"),
        counts={"train": 104743, "val": 5463},
        pairs=True,
        licence="CC BY-SA 4.0",
        citation=f"Rajpurkar et al. 2016; {GLUE}",
        window_pieces=128,
        recipe={"gamma": 0.03, "phi": 2e-3},
        tables=Tables(
            files=_files("train", "val", val=("dev.tsv",)),
            columns=(PAIR, Columns(text="question", pair="sentence")),
            hub=("nyu-mll/glue", "qnli"),
            hub_splits=LABELLED,
        ),
    ),
    DatasetInfo(
        name="ag_news",
        title="AG's News",
        labels=("World", "Sports", "Business", "Sci-Tech"),
        folders=("ag_news",),
        counts={"train": 114000, "val": 6000, "test": 7600},
        licence="non-commercial use",
        citation="Gulli 2005; Zhang et al. 2015",
        window_pieces=128,
        recipe={"gamma": 0.03, "phi": 1.6e-3},
        published={"gamma": 0.1, "phi": 0.1},
        tables=Tables(
            files=_files("train", "val", "test"),
            columns=(SINGLE,),
            hub=("fancyzhx/ag_news", None),
            hub_splits={"train": "train", "test": "test"},
            val_texts=6000,
        ),
    ),
    DatasetInfo(
        name="dbpedia",
        title="DBpedia",
        labels=(
            "Company",
            "EducationalInstitution",
            "Artist",
            "Athlete",
            "OfficeHolder",
            "MeanOfTransportation",
            "Building",
            "NaturalPlace",
            "Village",
            "Animal",
            "Plant",
            "Album",
            "Film",
            "WrittenWork",
        ),
        folders=("dbpedia_14", "dbpedia"),
        counts={"train": 554000, "val": 6000, "test": 70000},
        licence="CC BY-SA 3.0",
        citation="Lehmann et al. 2015; Zhang et al. 2015",
        window_pieces=128,
        # The text is the abstract without the title, as in the paper.
        recipe={"gamma": 0.03, "phi": 2e-3},
        tables=Tables(
            files=_files("train", "val", "test"),
            columns=(SINGLE, Columns(text="content", pair="")),
            hub=("fancyzhx/dbpedia_14", None),
            hub_splits={"train": "train", "test": "test"},
            val_texts=6000,
        ),
    ),
)

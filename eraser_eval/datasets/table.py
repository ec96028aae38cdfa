"""The table of data sets: with human rationales, and the classification tasks. Adding one is adding a row."""

from __future__ import annotations

from eraser_eval.datasets.classification import CLASSIFICATION
from eraser_eval.datasets.info import DatasetInfo

ERASER = "http://www.eraserbenchmark.com/zipped"

DATASETS = {
    info.name: info
    for info in (
        DatasetInfo(
            name="movies",
            title="ERASER Movie Reviews",
            labels=("NEG", "POS"),
            folders=("eraser/movies", "movies"),
            counts={"train": 1600, "val": 200, "test": 199},
            checksums={
                "train.jsonl": "48333b014badb23e158824f73011fb28340d147bbac217caad3392a17f85c282",
                "val.jsonl": "50f0d914b3bde03b3f793304e104858afe912762488683035aba90e3df8b797d",
                "test.jsonl": "40c0e4c095d6d1dc3bbf952515f7e68fe54ebf4d25400c9b656ee86c4f0e3a6f",
            },
            url=f"{ERASER}/movies.tar.gz",
            licence="not stated",
            citation="Pang and Lee 2004; Zaidan et al. 2007; Zaidan and Eisner 2008; DeYoung et al. 2020 (ERASER)",
            has_sample=True,
        ),
        DatasetInfo(
            name="hatexplain",
            title="HateXplain",
            labels=("hatespeech", "normal", "offensive"),
            folders=("eraser/hatexplain", "hatexplain"),
            counts={"train": 15383, "val": 1922, "test": 1924},
            checksums={
                "train.jsonl": "8a706eb4e7c16eebb7e26f8447f51f5f9aa767f0a5ad0e8e2c8ce1c3011f1dc8",
                "val.jsonl": "9ee5cedd535eede9d00011f42cf4c3600e5791e8689f03fad4b8f7e971d2bb74",
                "test.jsonl": "8a2fa09942f5f6cb6eafb724d95b30e0b94d7fff92e11c66d7808055b7ed5517",
                "docs.jsonl": "6d327831bb9ce8c1506aef5ba18cae31004c717f9225eba52c05dcf3394d9c7b",
            },
            licence="MIT",
            citation="Mathew et al. 2021",
            recipe={"gamma": 0.03, "phi": 1.2e-3, "teacher_power": 2.0},
            window_pieces=128,
        ),
        DatasetInfo(
            name="multirc",
            title="ERASER MultiRC",
            labels=("False", "True"),
            folders=("eraser/multirc", "multirc"),
            counts={"train": 24029, "val": 3214, "test": 4848},
            reads_query=True,
            url=f"{ERASER}/multirc.tar.gz",
            licence="Research and Academic Use License (University of Illinois)",
            citation="Khashabi et al. 2018; DeYoung et al. 2020 (ERASER)",
        ),
        DatasetInfo(
            name="boolq",
            title="ERASER BoolQ",
            labels=("False", "True"),
            folders=("eraser/boolq", "boolq"),
            counts={"train": 6363, "val": 1491, "test": 2807},
            reads_query=True,
            url=f"{ERASER}/boolq.tar.gz",
            licence="CC BY-SA 3.0",
            citation="Clark et al. 2019; DeYoung et al. 2020 (ERASER)",
        ),
        DatasetInfo(
            name="fever",
            title="ERASER FEVER",
            labels=("SUPPORTS", "REFUTES"),
            folders=("eraser/fever", "fever"),
            counts={"train": 97957, "val": 6122, "test": 6111},
            reads_query=True,
            url=f"{ERASER}/fever.tar.gz",
            licence="that of the Wikipedia pages, else CC BY-SA 3.0",
            citation="Thorne et al. 2018; DeYoung et al. 2020 (ERASER)",
        ),
        DatasetInfo(
            name="evidence_inference",
            title="ERASER Evidence Inference",
            labels=("significantly decreased", "no significant difference", "significantly increased"),
            folders=("eraser/evidence_inference", "evidence_inference"),
            counts={"train": 7958, "val": 972},
            reads_query=True,
            url=f"{ERASER}/evidence_inference.tar.gz",
            licence="MIT (annotations); of the articles not stated",
            citation="Lehman et al. 2019; DeYoung et al. 2020 (ERASER)",
        ),
        DatasetInfo(
            name="cose",
            title="ERASER CoS-E",
            labels=("A", "B", "C", "D", "E"),
            folders=("eraser/cose", "cose"),
            counts={"train": 8752, "val": 1086, "test": 1079},
            reads_query=True,
            url=f"{ERASER}/cose.tar.gz",
            licence="BSD 3-Clause (annotations); of the questions not stated",
            citation="Talmor et al. 2019; Rajani et al. 2019; DeYoung et al. 2020 (ERASER)",
        ),
        # Premise and hypothesis are two documents, so that there is no query beside them.
        DatasetInfo(
            name="esnli",
            title="ERASER e-SNLI",
            labels=("entailment", "neutral", "contradiction"),
            folders=("eraser/esnli", "esnli"),
            counts={"train": 549309, "val": 9823, "test": 9807},
            pairs=True,
            url=f"{ERASER}/esnli.tar.gz",
            licence="MIT (annotations); CC BY-SA 4.0 (SNLI)",
            citation="Bowman et al. 2015; Camburu et al. 2018; DeYoung et al. 2020 (ERASER)",
        ),
        # Not in ERASER's paper. The labels are those another reader of its ERASER form uses; nothing else is confirmed.
        DatasetInfo(
            name="scifact",
            title="SciFact",
            labels=("SUPPORTS", "REFUTES"),
            folders=("eraser/scifact", "scifact"),
            reads_query=True,
            licence="CC BY 4.0 (claims and annotations); ODC-By 1.0 (abstracts)",
            citation="Wadden et al. 2020",
        ),
        *CLASSIFICATION,
    )
}

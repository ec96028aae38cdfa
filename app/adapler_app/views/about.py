"""What the model, the data and the figures are."""

from __future__ import annotations

import re
from pathlib import Path

import streamlit as st

from adapler_app.models import own_model
from adapler_app.session import as_text, choose_source, opened
from eraser_eval.datasets import bundled

CITATION = """@inproceedings{modarressi-etal-2022-adapler,
    title = "{A}dap{L}e{R}: Speeding up Inference by Adaptive Length Reduction",
    author = "Modarressi, Ali and Mohebbi, Hosein and Pilehvar, Mohammad Taher",
    booktitle = "Proceedings of the 60th Annual Meeting of the Association for Computational Linguistics (ACL)",
    year = "2022",
    url = "https://aclanthology.org/2022.acl-long.1",
}
@inproceedings{deyoung-etal-2020-eraser,
    title = "{ERASER}: A Benchmark to Evaluate Rationalized {NLP} Models",
    author = "DeYoung, Jay and Jain, Sarthak and Rajani, Nazneen Fatema and Lehman, Eric and Xiong, Caiming and
              Socher, Richard and Wallace, Byron C.",
    booktitle = "Proceedings of the 58th Annual Meeting of the Association for Computational Linguistics (ACL)",
    year = "2020",
}"""


def about() -> None:
    """The page."""
    name = choose_source(with_text=False)
    source = opened(name)
    st.title("About")
    st.markdown(
        "AdapLeR drops the words that contribute little, layer by layer: a small predictor in front of every layer "
        "guesses each word piece's contribution, and what falls below a learnt threshold is gone for good. What stays "
        "is also an explanation. Agreement with people is *plausibility*; it does not say that an explanation is "
        "faithful to the model."
    )
    model, data, run, cite = st.tabs(["Model card", "Data", "Manifest", "Cite"])
    with model:
        card(Path(source.model or own_model()) / "README.md")
    with data:
        info = source.split.info
        rows = {
            "data set": info.title,
            "split": source.split.name,
            "source": source.split.source,
            "documents": str(len(source.split.examples)),
            "classes": ", ".join(info.labels),
            "licence": info.licence or "not stated",
            "cite": info.citation or "–",
            "checksum": source.split.checksum,
        }
        st.table({key: as_text(value) for key, value in rows.items()})
        if source.split.source == "bundled sample":
            card(bundled(f"sample/{info.name}") / "README.md")
    with run:
        if source.manifest:
            st.json(dict(source.manifest))
        else:
            st.info("A data set without a run has no manifest; choose a run in the sidebar.")
    with cite:
        st.code(CITATION, language="bibtex")


def card(path: Path) -> None:
    """A card in Markdown, without its YAML head."""
    if not path.is_file():
        st.info(as_text(f"{path.parent} has no card."))
        return
    text = path.read_text(encoding="utf-8", errors="replace")
    if text.startswith("---\n"):
        text = text.partition("\n---\n")[2]
    # Pictures would be fetched from the web: they become links.
    st.markdown(re.sub(r"!+\[", "[", text))

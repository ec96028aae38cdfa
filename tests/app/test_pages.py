"""Every page of the viewer, without a browser: the right figures, and one line of error for every bad input."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from zlib import crc32

import pandas as pd
import pytest
import streamlit as st
from conftest import annotation, tiny_model, write_dataset
from streamlit.testing.v1 import AppTest
from streamlit.util import calc_hash
from test_reading import copy_of
from transformers import BertTokenizer

import adapler_app
from adapler_app import overview
from adapler_app.components import Switched
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.explainers import EXPLAINERS
from eraser_eval.datasets import load
from eraser_eval.prediction_file import prediction_line, read_predictions
from eraser_eval.records import Prediction

MAIN = Path(adapler_app.__file__).with_name("main.py")
PAGES = ("document", "compare", "data-set", "what-if", "runs", "about")
RUN = "run tiny"
DOCUMENTS = {
    "a.txt": "the film was good .\ngood good film .\n",
    "b.txt": "bad film .\nthe end was bad , very bad .\n",
    "c.txt": "a long film , " * 12 + "\nbut good\n",
    "plain.txt": "nobody marked this film .\n",
}
ROWS = [
    annotation("a.txt", "POS", (3, 4), (5, 7)),
    annotation("b.txt", "NEG", (0, 2), (6, 10)),
    annotation("c.txt", "POS", (48, 50)),
    annotation("plain.txt", "NEG"),
]


@dataclass(frozen=True)
class World:
    """What the viewer finds: a model, a data set, and a folder with one run of both."""

    model: Path
    data: Path
    runs: Path
    figures: dict[str, Any]

    @property
    def run(self) -> Path:
        return self.runs / "tiny"

    def made(self, method: str) -> dict[str, Prediction]:
        return {p.id: p for p in read_predictions(self.run / "predictions" / f"{method}.jsonl")}

    def rows(self, method: str = "adapler") -> pd.DataFrame:
        table = pd.read_csv(self.run / "per_document.csv")
        return table[table["method"] == method].set_index("annotation_id")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> World:
    folder = tmp_path_factory.mktemp("world")
    data = write_dataset(folder / "data", DOCUMENTS, {"test": ROWS, "val": ROWS[:2]})
    model = folder / "model"
    copy_folder(checkpoint, model)
    (model / "README.md").write_text("---\nlicense: none\n---\n# A tiny card\n")
    methods = ("attention", "random")
    config = EvalConfig("movies", data_root=str(data), model=str(model), methods=methods)
    _, figures = evaluate(EvalConfig(**vars(config) | {"output_dir": str(folder / "runs" / "tiny")}))
    return World(model, data, folder / "runs", figures)


def copy_folder(source: Path, target: Path) -> None:
    target.mkdir()
    for path in source.iterdir():
        (target / path.name).write_bytes(path.read_bytes())


@pytest.fixture(autouse=True)
def surroundings(world: World, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The viewer starts anew for each test, as 'adapler-explain view' starts it."""
    for name, value in (("MODEL", world.model), ("RUNS", world.runs), ("DATA", world.data)):
        monkeypatch.setenv(f"ADAPLER_{name}", str(value))
    st.cache_resource.clear()
    st.cache_data.clear()
    yield
    st.cache_resource.clear()
    st.cache_data.clear()


def open_page(path: str, **link: str) -> AppTest:
    """The page at ``path`` as a link with the parameters ``link`` opens it."""
    app = AppTest.from_file(MAIN, default_timeout=60)
    app.query_params.update(link)
    return go(app, path)


def go(app: AppTest, path: str) -> AppTest:
    """The same session on another page; Streamlit calls a page by the hash of its path."""
    app._page_hash = calc_hash(path)
    return app.run()


def plain(text: str) -> str:
    """Markdown's backslashes taken away."""
    return re.sub(r"\\([\\`*_{}\[\]<>()#+\-.!|$:~^=&])", r"\1", text)


def errors(app: AppTest) -> list[str]:
    assert not app.exception
    return [plain(error.value) for error in app.error]


def only_error(app: AppTest) -> str:
    (message,) = errors(app)
    assert "\n" not in message
    return message


def metrics(app: AppTest) -> dict[str, str]:
    assert not app.exception and not app.error
    return {plain(metric.label): plain(metric.value) for metric in app.metric}


def drawn(app: AppTest) -> dict[str, Any]:
    """What the page's component draws."""
    assert not app.exception and not app.error
    (component,) = app.get("bidi_component")
    data: dict[str, Any] = json.loads(component.proto.json)
    return data


def captions(app: AppTest) -> str:
    return "\n".join(plain(caption.value) for caption in app.caption)


def said(app: AppTest) -> list[str]:
    """What stands in a corner of the page for a while."""
    return [plain(toast.value) for toast in app.toast]


def upload(app: AppTest, key: str, *files: tuple[str, bytes]) -> AppTest:
    app.file_uploader(key=key).set_value([(name, content, "") for name, content in files])
    return app.run()


def lines(*predictions: Prediction) -> bytes:
    return "".join(map(prediction_line, predictions)).encode()


# ---------------------------------------------------------------- every page


@pytest.mark.parametrize("page", PAGES)
@pytest.mark.parametrize("source", [RUN, "movies-test"])
def test_every_page_opens(page: str, source: str) -> None:
    app = open_page(page, source=source)
    assert errors(app) == [] and len(app.title) == 1


@pytest.mark.parametrize("page", [page for page in PAGES if page != "runs"])
def test_a_link_to_something_that_is_not_here(page: str) -> None:
    app = open_page(page, source="run <b>elsewhere</b>")
    assert errors(app) == [] and len(app.title) == 1
    assert said(app) == ["The link names 'run <b>elsewhere</b>', which is not here."]
    assert app.selectbox(key="source").value == "movies-test"


@pytest.mark.parametrize("page", ["document", "compare", "what-if"])
def test_a_link_to_a_document_that_is_not_there(page: str) -> None:
    app = open_page(page, source=RUN, doc="z.txt")
    assert said(app) == [f"The link names 'z.txt', which is not in {RUN}."]
    assert plain(app.title[0].value) == "a.txt" and errors(app) == []


@pytest.mark.parametrize("page", ["document", "compare", "what-if"])
def test_a_link_to_a_document(page: str) -> None:
    app = open_page(page, source=RUN, doc="b.txt")
    assert plain(app.title[0].value) == "b.txt" and said(app) == []
    assert drawn(app)["words"] == DOCUMENTS["b.txt"].split()


def test_another_source_is_no_broken_link() -> None:
    """The address still names the old document when the reader chooses another source: that is no fault of theirs."""
    app = open_page("document", source=RUN, doc="plain.txt")
    app.selectbox(key="source").select("movies-val").run()
    assert errors(app) == [] and plain(app.title[0].value) == "a.txt"
    assert said(app) == []


@pytest.mark.parametrize(
    ("layer", "expected"),
    [("0", 0), ("2", 2), ("3", 3), ("99", 3), ("-1", 3), ("2.5", 3), ("²", 3), ("", 3), ("9" * 5000, 3)],
    ids=lambda value: str(value)[:8],
)
def test_a_link_to_a_layer(layer: str, expected: int) -> None:
    assert drawn(open_page("document", source=RUN, doc="a.txt", layer=layer))["layer"] == expected


@pytest.mark.parametrize("page", PAGES)
def test_a_model_that_is_none(page: str, stock_checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPLER_MODEL", str(stock_checkpoint))
    message = only_error(open_page(page))
    assert message == f"{stock_checkpoint}: not an AdapLeR checkpoint; train one with 'adapler-explain train'"


def test_a_model_without_weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPLER_MODEL", str(tmp_path))
    assert only_error(open_page("document")).startswith(f"{tmp_path}: no *.safetensors in this folder")


# ---------------------------------------------------------------- document


@pytest.mark.parametrize("name", ["a.txt", "b.txt", "c.txt"])
def test_the_documents_figures_are_those_of_the_run(world: World, name: str) -> None:
    app = open_page("document", source=RUN, doc=name)
    row, made = world.rows().loc[name], world.made("adapler")[name]
    assert metrics(app) == {
        "Prediction": f"{row['predicted']} {made.probabilities[row['predicted']]:.0%}",
        "Words kept": f"{row['rationale_words']:.0f} of {row['words']:.0f}",
        "Fewer FLOPs": f"{made.extra['flops_unpruned'] / made.extra['flops_pruned']:.2f}×",
        "Token F1": f"{row['token_f1']:.3f}",
        "False-positive rate": f"{row['fpr']:.3f}",
    }
    wrong = f"; the prediction is wrong: people say {row['label']}" * (row["label"] != row["predicted"])
    assert captions(app) == f"ERASER Movie Reviews, test, release{wrong}"
    data = drawn(app)
    assert data["fell"] == [min(3, int(score)) for score in made.scores[name]]
    assert len(data["kept"]) == row["rationale_words"] and len(data["gold"]) > 0
    assert [score["title"] for score in data["scores"]] == [
        EXPLAINERS[other].title for other in ("attention", "random")
    ]
    assert len(data["contribution"]) == 3


def test_a_document_that_nobody_marked() -> None:
    app = open_page("document", source=RUN, doc="plain.txt")
    assert list(metrics(app)) == ["Prediction", "Words kept", "Fewer FLOPs"]
    assert "people marked no word of this document" in captions(app) and drawn(app)["gold"] is None


def test_without_a_run_the_viewers_model_says_the_same(world: World) -> None:
    live, run = (open_page("document", source=source, doc="c.txt") for source in ("movies-test", RUN))
    assert metrics(live) == metrics(run)
    for key in ("fell", "kept", "contribution", "needed", "window"):
        assert drawn(live)[key] == drawn(run)[key]


def test_quick_methods_explain_at_once_and_others_on_request() -> None:
    app = open_page("document", source="movies-test", doc="a.txt")
    every = [name for name, explainer in EXPLAINERS.items() if explainer.default and name != "adapler"]
    assert [score["title"] for score in drawn(app)["scores"]] == ["Contribution predictors", "Attention"]
    app.multiselect(key="explain_with").set_value(every).run()
    assert len(drawn(app)["scores"]) == len(every) == 6
    app.multiselect(key="explain_with").set_value(["attention"]).run()
    assert len(drawn(app)["scores"]) == 1


def test_the_table_has_a_row_for_each_word() -> None:
    app = open_page("document", source=RUN, doc="a.txt")
    app.session_state["tab"] = "Table"
    app.run()
    assert errors(app) == []
    (table,) = [html.value for html in app.html if "adapler-table" in html.value]
    assert re.findall(r'<th scope="row"><bdi>([^<]*)</bdi>', table) == DOCUMENTS["a.txt"].split()


def test_a_long_table_is_shown_in_parts() -> None:
    app = open_page("document", source="Your own text")
    app.text_area(key="text").set_value("good film " * 300).run()
    app.session_state["tab"] = "Table"
    app.run()
    app.selectbox(key="rows").select_index(1).run()
    (table,) = [html.value for html in app.html if "adapler-table" in html.value]
    assert app.selectbox(key="rows").options == ["1 to 500", "501 to 600"]
    assert table.count("<tr>") == 101 and "<td>501</td>" in table


def test_the_static_text_is_that_after_the_chosen_layer(world: World) -> None:
    app = open_page("document", source=RUN, doc="a.txt", layer="1")
    app.session_state["tab"] = "Static text"
    app.run()
    fell = [int(score) for score in world.made("adapler")["a.txt"].scores["a.txt"]]
    for layer in (1, 2):
        app.select_slider(key="static_layer").set_value(layer).run()
        (text,) = [html.value for html in app.html if "adapler-static" in html.value]
        assert f"{sum(place >= layer for place in fell)} of 9 words left after layer {layer}" in text


def test_four_files_can_be_saved() -> None:
    app = open_page("document", source=RUN, doc="a.txt")
    assert [button.label.split()[0] for button in app.download_button] == ["HTML", "PNG", "SVG", "CSV"]


# ---------------------------------------------------------------- a text of one's own


def own(text: str, page: str = "document") -> AppTest:
    app = open_page(page, source="Your own text")
    return app.text_area(key="text").set_value(text).run()


def test_a_text_of_ones_own() -> None:
    app = own("the film was good .\nso good")
    assert list(metrics(app)) == ["Prediction", "Words kept", "Fewer FLOPs"]
    assert metrics(app)["Words kept"].endswith(" of 7") and captions(app) == "Your own text"
    assert drawn(app)["words"] == ["the", "film", "was", "good", ".", "so", "good"] and drawn(app)["breaks"] == [5]


@pytest.mark.parametrize("page", ["document", "compare", "what-if"])
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "the text has no words; write or paste some"),
        (" \n\t ", "the text has no words; write or paste some"),
        ("good " * 20_001, "the text has 20,001 words; give at most 20,000"),
        ("\u200d \u200d", "the text holds no piece that the tokenizer knows; remove or mend the document"),
    ],
    ids=["empty", "blank", "long", "unreadable"],
)
def test_texts_that_cannot_be_shown(page: str, text: str, message: str) -> None:
    assert only_error(own(text, page)) == message


def test_hostile_texts_are_shown_as_they_are() -> None:
    words = ["</script>", "<b>x</b>", "&amp;", "*a*", "$x$", "\u202eא", "![i](http://example.org/i.png)"]
    assert drawn(own(" ".join(words)))["words"] == words


def test_an_uploaded_text() -> None:
    app = open_page("document", source="Your own text")
    app = upload_text(app, b"\xef\xbb\xbfbad film\nbad")
    assert drawn(app)["words"] == ["bad", "film", "bad"]


def test_an_upload_that_is_not_utf8() -> None:
    app = upload_text(open_page("document", source="Your own text"), "güt".encode("latin-1"))
    assert only_error(app) == "mine.txt: not UTF-8; save the file as UTF-8 text"


def upload_text(app: AppTest, content: bytes) -> AppTest:
    app.file_uploader(key="upload").set_value(("mine.txt", content, "text/plain"))
    return app.run()


# ---------------------------------------------------------------- runs that are broken, or of other models


@pytest.fixture
def broken(world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the run, the only one that the viewer finds."""
    monkeypatch.setenv("ADAPLER_RUNS", str(tmp_path / "runs"))
    return copy_of(world.run, tmp_path / "runs" / "tiny")


@pytest.mark.parametrize("page", ["document", "data-set", "runs"])
@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", "{broken", "is not a run that can be read"),
        ("metrics.json", "{}", "is not a run that can be read"),
        ("per_document.csv", None, "per_document.csv: is missing; finish the run with 'eval --resume'"),
        ("predictions/adapler.jsonl", "{broken\n", "adapler.jsonl:1: not valid JSON"),
    ],
    ids=["broken metrics", "empty metrics", "no table", "broken predictions"],
)
def test_a_broken_run_is_one_line(broken: Path, page: str, file: str, content: str | None, message: str) -> None:
    (broken / file).unlink()
    if content is not None:
        (broken / file).write_text(content)
    assert message in only_error(open_page(page, source=RUN))


def test_a_run_without_its_figures_is_not_offered(broken: Path) -> None:
    (broken / "metrics.json").unlink()
    app = open_page("document", source=RUN)
    assert said(app) == [f"The link names '{RUN}', which is not here."]
    assert RUN not in app.selectbox(key="source").options and errors(app) == []


@pytest.mark.parametrize("page", PAGES)
def test_other_documents_than_the_runs(broken: Path, tmp_path: Path, page: str) -> None:
    other = write_dataset(tmp_path / "data", DOCUMENTS | {"a.txt": "other words\n"}, {"test": ROWS[1:]})
    copy_of(broken, broken, data_root=str(other))
    message = only_error(open_page(page, source=RUN))
    assert re.search(r"its documents \(sha256:\w+\) are not those found at .*movies \(sha256:\w+\)$", message)


def test_predictions_for_other_words(broken: Path) -> None:
    path = broken / "predictions" / "random.jsonl"
    path.write_text(
        path.read_text().replace('"soft_rationale_predictions": [', '"soft_rationale_predictions": [0.5, ', 1)
    )
    assert "10 scores for the 9 words of document 'a.txt'" in only_error(open_page("document", source=RUN))


def test_a_prediction_that_a_file_lost(broken: Path) -> None:
    """The table of the run still has its row: that run cannot be compared, document by document or elsewhere."""
    path = broken / "predictions" / "adapler.jsonl"
    path.write_bytes(b"".join(path.read_bytes().splitlines(keepends=True)[1:]))
    assert "has no predictions of AdapLeR" in only_error(open_page("document", source=RUN, doc="a.txt"))
    app = open_page("runs", run_A=RUN, run_B=RUN)
    if not errors(app):
        assert "a.txt" not in set(app.dataframe[0].value["annotation_id"])


def test_a_run_whose_model_was_moved_is_read_with_the_viewers_if_that_is_the_same(broken: Path, tmp_path: Path) -> None:
    copy_of(broken, broken, model=str(tmp_path / "no" / "such" / "model"))
    app = open_page("document", source=RUN, doc="a.txt")
    assert drawn(app)["contribution"] is not None and "contributions are not shown" not in captions(app)
    assert errors(open_page("what-if", source=RUN, doc="a.txt")) == []


def test_a_run_whose_model_is_not_here(broken: Path) -> None:
    copy_of(broken, broken, model_checksum="sha256:0")
    app = open_page("document", source=RUN, doc="a.txt")
    data = drawn(app)
    assert data["contribution"] is data["needed"] is None and data["fell"]
    assert metrics(app) == metrics(open_page("document", source="movies-test", doc="a.txt"))
    assert "contributions are not shown: the model that made these predictions is not here" in captions(app)
    message = only_error(open_page("what-if", source=RUN, doc="a.txt"))
    assert message == f"{RUN}: the model that made these predictions is not here"


@pytest.fixture
def three_classes(
    tmp_path: Path, tokenizer: BertTokenizer, monkeypatch: pytest.MonkeyPatch
) -> tuple[str, dict[str, Prediction]]:
    """A run of a model with other classes than the viewer's, and its predictions."""
    labels = ("hatespeech", "normal", "offensive")
    root = write_dataset(
        tmp_path,
        {"a": "good film .", "b": "the bad film ."},
        {"test": [annotation("a", "normal", (0, 1)), annotation("b", "offensive", (1, 2))]},
    )
    (root / "movies").rename(root / "hatexplain")
    model = tmp_path / "model"
    tiny_model(
        3, id2label=dict(enumerate(labels)), label2id={name: i for i, name in enumerate(labels)}
    ).save_pretrained(model)
    tokenizer.save_pretrained(model)
    config = EvalConfig("hatexplain", data_root=str(root), model=str(model), methods=("random",))
    folder, _ = evaluate(EvalConfig(**vars(config) | {"output_dir": str(tmp_path / "runs" / "three")}))
    monkeypatch.setenv("ADAPLER_RUNS", str(tmp_path / "runs"))
    return "run three", {p.id: p for p in read_predictions(folder / "predictions" / "adapler.jsonl")}


def test_a_run_of_a_model_with_other_classes(three_classes: tuple[str, dict[str, Prediction]]) -> None:
    name, made = three_classes
    app = open_page("document", source=name, doc="b")
    assert metrics(app)["Prediction"].split()[0] == made["b"].label and made["b"].label not in ("NEG", "POS")
    assert drawn(app)["contribution"] is not None
    app = open_page("what-if", source=name, doc="b")
    assert metrics(app)["Prediction"] == made["b"].label
    assert metrics(app)[f"Probability of {made['b'].label}"] == f"{made['b'].probabilities[str(made['b'].label)]:.3f}"
    assert "hatexplain-test" not in app.selectbox(key="source").options
    for page in ("compare", "data-set", "runs", "about"):
        assert errors(open_page(page, source=name)) == []


# ---------------------------------------------------------------- compare


def figures_of(app: AppTest) -> dict[str, dict[str, str]]:
    return {method["title"]: dict(method["figures"]) for method in drawn(app)["methods"]}


def test_methods_side_by_side_as_the_run_says(world: World) -> None:
    app = open_page("compare", source=RUN, doc="b.txt")
    found = figures_of(app)
    assert len(found) == 3
    for (title, figures), method in zip(found.items(), ("adapler", "attention", "random"), strict=True):
        row = world.rows(method).loc["b.txt"]
        assert figures["words"] == f"{row['rationale_words']:.0f}", title
        for figure, column in (("token F1", "token_f1"), ("FPR", "fpr"), ("average precision", "average_precision")):
            assert figures[figure] == f"{row[column]:.3f}"
    kept = int(world.rows().loc["b.txt", "rationale_words"])
    assert captions(app) == f"{kept} of 11 words for every method"
    assert len(app.table[0].value) == 3


def test_a_budget_changes_the_number_of_words() -> None:
    app = open_page("compare", source=RUN, doc="b.txt")
    app.selectbox(key="budget").set_value("words").run()
    for count in (1, 7, 11):
        app.slider(key="count").set_value(count).run()
        assert {figures["words"] for figures in figures_of(app).values()} == {str(count)}
        for method in drawn(app)["methods"]:
            assert sum(outcome in (1, 2) for outcome in method["outcome"]) == count
        assert captions(app) == f"{count} of 11 words for every method"
    app.selectbox(key="budget").set_value("share").run()
    app.slider(key="share").set_value(50).run()
    assert {figures["words"] for figures in figures_of(app).values()} == {"6"}
    app.selectbox(key="budget").set_value("gold").run()
    assert {figures["words"] for figures in figures_of(app).values()} == {"6"}
    app.selectbox(key="budget").set_value("own").run()
    assert captions(app) == "each method's own rationale"


def test_methods_can_be_chosen() -> None:
    app = open_page("compare", source=RUN, doc="b.txt")
    app.multiselect(key="methods").set_value(["random"]).run()
    assert len(figures_of(app)) == 1
    app.multiselect(key="methods").set_value([]).run()
    assert [info.value for info in app.info] == ["Choose a method."] and errors(app) == []


def test_another_source_has_its_own_methods(three_classes: tuple[str, dict[str, Prediction]]) -> None:
    """None of those chosen before is there: the reader sees the first ones, not an empty page."""
    app = open_page("compare", source="movies-test")
    app.multiselect(key="methods").set_value(["attention"]).run()
    app.selectbox(key="source").select("run three").run()
    assert errors(app) == [] and figures_of(app)


def test_where_nobody_marked_anything_there_is_no_budget_of_theirs() -> None:
    app = open_page("compare", source=RUN, doc="plain.txt")
    assert "as many words as people marked" not in app.selectbox(key="budget").options
    assert "people marked no word of this document" in captions(app) and drawn(app)["marked"] is False


def test_a_text_of_one_word_can_be_compared() -> None:
    app = own("good", "compare")
    app.selectbox(key="budget").set_value("words").run()
    assert {figures["words"] for figures in figures_of(app).values()} == {"1"}


# ---------------------------------------------------------------- data set


def test_a_data_set_without_a_run() -> None:
    app = open_page("data-set", source="movies-test")
    assert errors(app) == [] and plain(app.title[0].value) == "ERASER Movie Reviews"
    assert plain(app.info[0].value) == (
        "movies-test: a data set without a run: choose a run in the sidebar, or make one with "
        "'adapler-explain eval --dataset movies --split test'."
    )


def test_the_data_sets_figures_are_those_of_the_run(world: World) -> None:
    app = open_page("data-set", source=RUN)
    assert plain(app.title[0].value) == "ERASER Movie Reviews, test"
    classification, efficiency = world.figures["classification"], world.figures["efficiency"]
    assert metrics(app) == {
        "Accuracy": f"{classification['pruned']['accuracy']:.3f}",
        "Without removal": f"{classification['unpruned']['accuracy']:.3f}",
        "Fewer FLOPs": f"{efficiency['flops_speedup']:.2f}×",
    }
    assert f"4 documents, release; model {world.model}" in captions(app)
    table = app.table[0].value
    assert len(table) == 9
    first = world.figures["methods"]["adapler"]["fpr"]
    assert table.iloc[0].tolist() == [f"{first[key]:.3f}" for key in ("value", "low", "high")]
    # Three panels of bars, the curve, the layers, the trade-off.
    assert len(app.get("vega_lite_chart")) == 6


def test_orders_of_the_data_sets_documents(world: World) -> None:
    app = open_page("data-set", source=RUN)
    app.selectbox(key="of_method").set_value("random").run()
    rows = world.rows("random")
    for order in overview.ORDERS:
        app.selectbox(key="order").set_value(order).run()
        found = app.dataframe[0].value
        assert set(found["annotation_id"]) == set(DOCUMENTS)
        for name, row in found.set_index("annotation_id").iterrows():
            assert row["token_f1"] == pytest.approx(rows.loc[name, "token_f1"], nan_ok=True)
            assert row["wrong"] == (rows.loc[name, "label"] != rows.loc[name, "predicted"])
        if order == "as in the file":
            assert found["annotation_id"].tolist() == list(DOCUMENTS)
        elif order == "largest disagreement with people":
            assert found["token_f1"].dropna().is_monotonic_increasing and pd.isna(found["token_f1"].iloc[-1])
        else:
            by = {"most false positives": "false_positives", "wrong predictions": "wrong"}[order]
            assert found[by].is_monotonic_decreasing


def test_the_trade_off_shows_the_runs_that_are_chosen(broken: Path) -> None:
    copy_of(broken, broken.parent / "other")
    app = open_page("data-set", source=RUN)
    assert app.multiselect(key=f"scatter_{RUN}").options == ["run other", RUN]
    assert app.multiselect(key=f"scatter_{RUN}").value == [RUN]
    (broken.parent / "other" / "per_document.csv").unlink()
    app.multiselect(key=f"scatter_{RUN}").set_value(["run other", RUN]).run()
    assert errors(app) == [] and "per_document.csv: is missing" in plain(app.warning[0].value)


# ---------------------------------------------------------------- what if


def test_at_first_nothing_is_changed(world: World) -> None:
    app = open_page("what-if", source=RUN, doc="c.txt")
    made = world.made("adapler")["c.txt"]
    found = metrics(app)
    assert found["Prediction"] == made.label
    assert found[f"Probability of {made.label}"] == f"{made.probabilities[str(made.label)]:.3f}"
    assert found["Words kept"] == f"{made.words_chosen} of 50"
    assert all(metric.delta == "" for metric in app.metric)


def test_operating_point_zero_keeps_every_word(world: World) -> None:
    app = open_page("what-if", source=RUN, doc="c.txt")
    assert metrics(app)["Words kept"] != "50 of 50"
    app.slider(key="point").set_value(0.0).run()
    assert metrics(app)["Words kept"] == "50 of 50" and drawn(app)["fell"] == [3] * 50
    label = world.made("adapler")["c.txt"].label
    unpruned = world.made("adapler")["c.txt"].extra["unpruned_classification_scores"]
    assert metrics(app)[f"Probability of {label}"] == f"{unpruned[label]:.3f}"


def test_a_stored_operating_point_has_a_button(world: World) -> None:
    config = world.model / "config.json"
    before = config.read_text()
    content = json.loads(before)
    content["operating_points"] = {"<b>fast": {"factor": 2.5}, "far": {"factor": 7.0}}
    try:
        config.write_text(json.dumps(content))
        app = open_page("what-if", source=RUN, doc="c.txt")
        app.button(key="point <b>fast").click().run()
        assert app.slider(key="point").value == 2.5 and errors(app) == []
        app.button(key="point far").click().run()
        assert app.slider(key="point").value == 3.0
    finally:
        config.write_text(before)


def test_a_link_to_an_operating_point() -> None:
    assert metrics(open_page("what-if", source=RUN, doc="a.txt", point="0"))["Words kept"] == "9 of 9"
    assert open_page("what-if", source=RUN, doc="a.txt", point="99").slider(key="point").value <= 3
    assert errors(open_page("what-if", source=RUN, doc="a.txt", point="x")) == []


OFF = f"what_{RUN}_a.txt"


def switched_off(*places: int) -> AppTest:
    app = open_page("what-if", source=RUN, doc="a.txt")
    words = " ".join(drawn(app)["words"])
    app.session_state["switched_off"] = {f"{OFF}_{crc32(words.encode())}": Switched(frozenset(places))}
    return app.run()


def test_words_that_are_switched_off_are_not_read() -> None:
    app = switched_off(0, 4)
    data = drawn(app)
    assert data["off"] == [0, 4] and [data["fell"][place] for place in (0, 4)] == [0, 0]
    assert metrics(app)["Words kept"].endswith(" of 7") and len(data["words"]) == 9
    same = own("film was good good good film .", "what-if")
    assert metrics(app)["Fewer FLOPs"] == metrics(same)["Fewer FLOPs"]


def test_every_word_is_switched_on_again() -> None:
    app = switched_off(0, 4)
    app.button(key="all_on").click().run()
    assert drawn(app)["off"] == [] and metrics(app)["Words kept"].endswith(" of 9")


def test_a_text_of_which_every_word_is_off() -> None:
    """The line says what to do, so there must be something to do it with."""
    app = switched_off(*range(9))
    assert [warning.value.endswith("Switch one on.") for warning in app.warning] == [True]
    assert drawn(app)["off"] == list(range(9)) and any(button.key == "all_on" for button in app.button)


# ---------------------------------------------------------------- runs


def add(app: AppTest, folder: object) -> AppTest:
    app.text_input(key="folder_path").set_value(str(folder))
    return app.button[0].click().run()


def test_a_run_folder_is_added(world: World, tmp_path: Path) -> None:
    folder = copy_of(world.run, tmp_path / "elsewhere")
    app = add(open_page("runs"), folder)
    assert errors(app) == [] and [plain(s.value) for s in app.success] == [
        "run elsewhere can be chosen on every page now."
    ]
    go(app, "data-set")
    app.selectbox(key="source").select("run elsewhere").run()
    assert metrics(app)["Accuracy"] == f"{world.figures['classification']['pruned']['accuracy']:.3f}"
    (folder / "metrics.json").unlink()
    assert "not a finished run (no metrics.json)" in only_error(app.run())


def test_nothing_is_added_without_a_path() -> None:
    app = add(open_page("runs"), "  ")
    assert errors(app) == [] and not app.success


@pytest.mark.parametrize("name", ["absent", "x" * 5000, "data"])
def test_a_folder_that_is_no_run(world: World, name: str) -> None:
    folder = world.data.parent / name
    assert only_error(add(open_page("runs"), folder)) == (
        f"{folder}: not the folder of an 'eval' run (no manifest.json of one)"
    )


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        ("metrics.json", None, "metrics.json: is missing; finish the run with 'eval --resume'"),
        ("metrics.json", "{broken", "is not a run that can be read"),
        ("manifest.json", "{broken", "not the folder of an 'eval' run"),
        ("predictions/random.jsonl", '{"annotation_id": 3}\n', "random.jsonl:1: not in ERASER's prediction format"),
    ],
)
def test_a_broken_folder_is_not_added(
    broken: Path, tmp_path: Path, file: str, content: str | None, message: str
) -> None:
    folder = copy_of(broken, tmp_path / "elsewhere")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    app = add(open_page("runs"), folder)
    assert message in only_error(app) and not app.success
    assert "run elsewhere" not in go(app, "document").selectbox(key="source").options


def with_files(*files: tuple[str, bytes], about: str = "movies-test") -> AppTest:
    app = open_page("runs")
    app.selectbox(key="files_of").select(about).run()
    return upload(app, "files", *files)


def compare_with(app: AppTest, source: str, name: str) -> None:
    """The session's page 'Compare methods', with what was uploaded as ``source``."""
    go(app, "compare")
    app.selectbox(key="source").select(source).run()
    app.selectbox(key="doc").select(name).run()
    app.multiselect(key="methods").set_value([source]).run()


def test_uploaded_predictions_with_the_documents_of_a_source(world: World) -> None:
    content = (world.run / "predictions" / "random.jsonl").read_bytes()
    app = with_files(("theirs.jsonl", content))
    assert [plain(s.value) for s in app.success] == ["upload theirs can be chosen on every page now."]
    compare_with(app, "upload theirs", "b.txt")
    row = world.rows("random").loc["b.txt"]
    assert figures_of(app)["theirs"]["token F1"] == f"{row['token_f1']:.3f}"
    assert captions(app) == "each method's own rationale"


def test_uploaded_predictions_have_no_layers(world: World) -> None:
    app = with_files(("theirs.jsonl", (world.run / "predictions" / "random.jsonl").read_bytes()))
    go(app, "document")
    app.selectbox(key="source").select("upload theirs").run()
    message = only_error(app)
    assert message.startswith("upload theirs: has no predictions of AdapLeR") and "'Compare methods'" in message


@pytest.mark.parametrize("page", ["document", "compare", "what-if", "data-set", "about"])
def test_a_file_called_adapler_that_another_program_wrote(page: str) -> None:
    """Its predictions know nothing of layers, and may have no scores."""
    hard = Prediction("a.txt", "POS")
    app = with_files(("adapler.jsonl", lines(hard)))
    assert errors(app) == []
    go(app, page)
    app.selectbox(key="source").select("upload adapler").run()
    if page == "document":
        assert "'Compare methods'" in only_error(app)
    else:
        assert len(errors(app)) <= 1


def test_a_table_of_documents_is_uploaded_too() -> None:
    rows = [{"id": "r1", "text": "good film", "label": "yes", "rationale": [1, 0]}]
    app = with_files(about="uploaded: a table of documents")
    app.file_uploader(key="files_documents").set_value(
        ("mine.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode(), "")
    )
    hard = {"docid": "r1", "hard_rationale_predictions": [{"start_token": 0, "end_token": 2}]}
    content = json.dumps({"annotation_id": "r1", "rationales": [hard], "classification": "yes"}).encode()
    app = upload(app, "files", ("other.jsonl", content + b"\n"))
    assert [plain(s.value) for s in app.success] == ["upload other can be chosen on every page now."]
    compare_with(app, "upload other", "r1")
    # One of two chosen words is marked.
    assert figures_of(app)["other"]["precision"] == "0.500" and drawn(app)["words"] == ["good", "film"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{broken\n", "not valid JSON"),
        (b"\xff\xfe\n", "not UTF-8"),
        (b'{"annotation_id": 3}\n', "not in ERASER's prediction format"),
        (lines(Prediction("elsewhere", "POS")), "has no prediction for the documents of movies, test"),
        (b"", "has no prediction for the documents of movies, test"),
        (lines(Prediction("a.txt", "POS", {}, {"a.txt": (1.0,)})), "1 scores for the 9 words of document 'a.txt'"),
        (
            lines(Prediction("a.txt", "POS", {}, {"z.txt": (1.0,)})),
            "no soft_rationale_predictions for document 'a.txt'",
        ),
    ],
    ids=["json", "utf-8", "format", "other documents", "empty", "other words", "other names"],
)
def test_prediction_files_that_cannot_be_opened(content: bytes, message: str) -> None:
    app = with_files(("theirs.jsonl", content))
    line = only_error(app)
    # The reader knows the name of their file, and nothing of where it was put meanwhile.
    assert message in line and "theirs" in line and "/tmp" not in line
    assert not app.success and "upload theirs" not in go(app, "compare").selectbox(key="source").options


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("mine.csv", b"words,label\ngood,yes\n", "text"),
        ("mine.jsonl", b"{broken\n", "not valid JSON"),
        ("mine.csv", b"", "no rows"),
    ],
)
def test_tables_of_documents_that_cannot_be_read(name: str, content: bytes, message: str) -> None:
    app = with_files(about="uploaded: a table of documents")
    app.file_uploader(key="files_documents").set_value((name, content, ""))
    line = only_error(upload(app, "files", ("theirs.jsonl", lines(Prediction("a.txt", "POS")))))
    assert message in line and "/tmp" not in line


def test_a_file_uploaded_again_replaces_the_first(world: World) -> None:
    """A mended file has the name of the broken one."""
    app = with_files(("theirs.jsonl", (world.run / "predictions" / "random.jsonl").read_bytes()))
    upload(app, "files", ("theirs.jsonl", (world.run / "predictions" / "attention.jsonl").read_bytes()))
    assert errors(app) == []
    compare_with(app, "upload theirs", "b.txt")
    assert figures_of(app)["theirs"]["average precision"] == (
        f"{world.rows('attention').loc['b.txt', 'average_precision']:.3f}"
    )


def test_two_methods_document_by_document(world: World) -> None:
    app = open_page("runs", run_A=RUN, run_B=RUN)
    app.selectbox(key="method_B").set_value("random").run()
    assert errors(app) == []
    table = app.dataframe[0].value
    own_rows, other = world.rows(), world.rows("random")
    assert set(table["annotation_id"]) == set(DOCUMENTS)
    for _, row in table.iterrows():
        one, two = own_rows.loc[row["annotation_id"]], other.loc[row["annotation_id"]]
        assert row["A − B"] == pytest.approx(one["token_f1"] - two["token_f1"], nan_ok=True)
        assert (row["predicted A"], row["predicted B"]) == (one["predicted"], two["predicted"])
    sizes = table["A − B"].abs().dropna()
    assert sizes.is_monotonic_decreasing
    first = table["annotation_id"].iloc[0]
    assert drawn(app)["words"] == DOCUMENTS[first].split()
    titles = [method["title"] for method in drawn(app)["methods"]]
    assert [title.split(":")[0] for title in titles] == ["A", "B"] and all(RUN in title for title in titles)
    figures = list(figures_of(app).values())
    assert [f["words"] for f in figures] == [f"{rows.loc[first, 'rationale_words']:.0f}" for rows in (own_rows, other)]


def test_a_run_and_itself_do_not_differ() -> None:
    table = open_page("runs", run_A=RUN, run_B=RUN).dataframe[0].value
    assert (table["A − B"].dropna() == 0).all() and len(table["A − B"].dropna()) == 3


def test_two_runs_of_other_documents_have_none_in_common(
    three_classes: tuple[str, dict[str, Prediction]], world: World, tmp_path: Path
) -> None:
    copy_of(world.run, tmp_path / "runs" / "tiny")
    app = open_page("runs", run_A="run three", run_B=RUN)
    assert errors(app) == [] and [info.value for info in app.info] == ["The two have no document in common."]


def test_the_same_name_with_other_words(world: World, tmp_path: Path) -> None:
    rows = [{"id": "a.txt", "text": "quite other words", "label": "POS"}]
    app = with_files(about="uploaded: a table of documents")
    app.file_uploader(key="files_documents").set_value(("mine.jsonl", json.dumps(rows[0]).encode(), ""))
    upload(app, "files", ("other.jsonl", lines(Prediction("a.txt", "POS"))))
    app.selectbox(key="run_A").select(RUN).run()
    app.selectbox(key="run_B").select("upload other").run()
    assert only_error(app) == f"upload other: 'a.txt' has other words than in {RUN}"


def test_without_runs_there_is_nothing_to_compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPLER_RUNS", str(tmp_path / "absent"))
    app = open_page("runs")
    assert errors(app) == [] and "Open a run first" in app.info[0].value


# ---------------------------------------------------------------- about


def test_the_card_the_data_and_the_manifest(world: World) -> None:
    app = open_page("about", source=RUN)
    assert errors(app) == []
    assert "# A tiny card" in "".join(markdown.value for markdown in app.markdown)
    assert not any("license: none" in markdown.value for markdown in app.markdown)
    shown = app.table[0].value.iloc[:, 0]
    facts = {key: plain(str(value)) for key, value in shown.items()}
    split = load("movies", "test", world.data)
    assert facts["checksum"] == split.checksum and facts["documents"] == "4" and facts["classes"] == "NEG, POS"
    assert facts["source"] == "release"
    assert json.loads(app.json[0].value) == json.loads((world.run / "manifest.json").read_text())
    assert "2022.acl-long.1" in app.code[0].value


def test_a_data_set_has_no_manifest_and_a_model_may_have_no_card(
    checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPLER_MODEL", str(checkpoint))
    app = open_page("about", source="movies-test")
    notes = [plain(info.value) for info in app.info]
    assert notes[0] == f"{checkpoint} has no card." and "has no manifest" in notes[1] and not app.json


def test_the_bundled_sample_shows_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ADAPLER_DATA", str(tmp_path))
    app = open_page("about", source="movies-test-sample")
    assert errors(app) == [] and len(app.markdown) == 3

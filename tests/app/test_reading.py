"""One document as the viewer shows it, texts of one's own, what can be opened, and changes: numbers by hand."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import annotation, write_dataset
from hypothesis import given, settings
from hypothesis import strategies as st

from adapler_app.opened import (
    MOST_WORDS,
    Source,
    decoded,
    open_dataset,
    open_predictions,
    open_run,
    own_text,
    sources,
)
from adapler_app.reading import OWN, Reading, breaks, clean, fate, reading, rounded, strip_data, word_table
from adapler_app.whatif import changed
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.trace import Trace
from eraser_eval.datasets import DATASETS, from_rows
from eraser_eval.errors import DataError, MissingError, UserError
from eraser_eval.prediction_file import prediction_line
from eraser_eval.records import Document, Example, Prediction, Span, mask_of, spans_of

TITLES = {OWN: "AdapLeR", "attention": "Attention"}
SENTENCES = (("a", "good", "film"), ("but", "bad", "end"))
SURVIVAL = (0.5, 3.4, 2.2, 1.0, 3.9, 0.1)
ATTENTION = (1.0, 6.0, 2.0, 3.0, 5.0, 4.0)


def example_of(sentences: Sequence[Sequence[str]], marked: Sequence[Span] = (), label: str = "POS") -> Example:
    document = Document("d", tuple(tuple(sentence) for sentence in sentences))
    return Example("d", (document,), label, (tuple(marked),) if marked else ())


def own_prediction(example: Example, survival: Sequence[float] = SURVIVAL, layers: int = 3) -> Prediction:
    """What AdapLeR says: the words that survive ``layers`` layers are its rationale."""
    extra = {"kept_per_layer": [6, 4, 3][:layers], "flops_unpruned": 300, "flops_pruned": 120}
    return Prediction(
        example.id,
        "POS",
        {"NEG": 0.2, "POS": 0.8},
        {"d": tuple(survival)},
        spans_of(np.array(survival) >= layers, example.documents),
        extra,
    )


def attention(example: Example) -> Prediction:
    return Prediction(example.id, "POS", {}, {"d": ATTENTION}, (Span("d", 0, 1),))


def trace_of() -> Trace:
    """Two windows of three words each."""
    return Trace(
        probabilities=np.array([0.2, 0.8]),
        fell=np.array([0, 3, 2, 1, 3, 0]),
        contribution=np.array([[0.5, 2, 1, 1, 3, 0.123456], [0, 1.5, 1, 0.2, 1.2, 0], [0, 1.1, 0.3, 0, 1.3, 0]]),
        needed=np.array([[0.6, 0.5], [0.7, 0.4], [1.0, 0.0]]),
        window=np.array([0, 0, 0, 1, 1, 1]),
        kept_per_layer=(6, 4, 3),
        flops_unpruned=300,
        flops_pruned=120,
    )


def seen(trace: Trace | None = None, marked: Sequence[Span] = (Span("d", 1, 3),)) -> Reading:
    example = example_of(SENTENCES, marked)
    return reading(example, {OWN: own_prediction(example), "attention": attention(example)}, trace)


# ---------------------------------------------------------------- reading


def test_a_reading_by_hand() -> None:
    """Kept: words 2 and 5; marked: words 2 and 3. One of two each way, and one of the four that are not marked."""
    found = seen()
    assert (found.label, found.probability, found.layers, found.speedup) == ("POS", 0.8, 3, 2.5)
    assert found.fell.tolist() == [0, 3, 2, 1, 3, 0]
    assert found.kept.tolist() == [False, True, False, False, True, False]
    assert found.left == [6, 4, 3, 2]
    assert (found.token_f1, found.fpr) == (0.5, 0.25)
    assert list(found.scores) == ["attention"] and found.scores["attention"].tolist() == list(ATTENTION)
    assert found.is_marked and found.trace is None


def test_without_marks_there_is_no_agreement() -> None:
    found = seen(marked=())
    assert not found.is_marked and found.fpr is None and found.token_f1 is None


def test_where_every_word_is_marked_there_is_no_false_positive_rate() -> None:
    found = seen(marked=[Span("d", 0, 6)])
    assert found.fpr is None and found.token_f1 == pytest.approx(2 * 2 / (2 + 6))


def test_a_class_without_probability_and_a_method_without_scores() -> None:
    example = example_of(SENTENCES)
    own = replace(own_prediction(example), probabilities={}, label=None)
    hard = Prediction("d", "POS", spans=(Span("d", 0, 2),))
    found = reading(example, {OWN: own, "people": hard})
    assert (found.label, found.probability, found.scores) == ("", None, {})


def test_words_of_several_documents_stand_one_after_the_other() -> None:
    documents = (Document("one", (("a", "b"),)), Document("two", (("c",), ("d",))))
    example = Example("x", documents, "POS", ((Span("two", 0, 1),),))
    own = Prediction(
        "x",
        "POS",
        {},
        {"two": (3.5, 0.2), "one": (1.5, 2.5)},
        (Span("two", 0, 1),),
        {"kept_per_layer": [4, 3, 2], "flops_unpruned": 2, "flops_pruned": 1},
    )
    found = reading(example, {OWN: own})
    assert found.fell.tolist() == [1, 2, 3, 0] and found.kept.tolist() == [False, False, True, False]
    assert found.token_f1 == 1.0 and breaks(example) == [2, 3]


survivals = st.integers(1, 40).flatmap(
    lambda n: st.lists(st.floats(0, 3.9999, allow_nan=False), min_size=n, max_size=n)
)


@settings(deadline=None)
@given(survivals)
def test_words_left_never_grow_and_end_with_the_rationale(survival: list[float]) -> None:
    example = example_of([["w"] * len(survival)])
    found = reading(example, {OWN: own_prediction(example, survival)})
    assert found.left[0] == len(survival) and found.left[-1] == found.kept.sum()
    assert found.left == sorted(found.left, reverse=True)
    assert [found.left[layer] - found.left[layer + 1] for layer in range(3)] == [
        int((found.fell == layer).sum()) for layer in range(3)
    ]


# ---------------------------------------------------------------- what the strip draws


def test_strip_data_by_hand() -> None:
    data = strip_data(seen(trace_of()), TITLES, layer=2)
    assert data["words"] == ["a", "good", "film", "but", "bad", "end"] and data["breaks"] == [3]
    assert (data["id"], data["layers"], data["layer"]) == ("d", 3, 2)
    assert (data["fell"], data["kept"], data["gold"]) == ([0, 3, 2, 1, 3, 0], [1, 4], [1, 2])
    assert data["contribution"][0] == [0.5, 2, 1, 1, 3, 0.1235] and data["needed"][2] == [1.0, 0.0]
    assert data["window"] == [0, 0, 0, 1, 1, 1]
    assert data["scores"] == [{"title": "Attention", "values": list(ATTENTION)}]
    assert json.loads(json.dumps(data)) == data


def test_strip_data_without_marks_and_without_the_model() -> None:
    data = strip_data(seen(marked=()), {})
    assert data["gold"] is data["contribution"] is data["needed"] is data["window"] is None
    assert data["scores"][0]["title"] == "attention"


def test_the_word_table_by_hand() -> None:
    table = word_table(seen(trace_of()), TITLES)
    assert table.index.tolist() == [1, 2, 3, 4, 5, 6] and table.index.name == "place"
    layers = [f"{what}, layer {layer}" for layer in (1, 2, 3) for what in ("contribution", "needed")]
    assert list(table.columns) == ["word", "fate", "layers", "people", *layers, "score, Attention"]
    assert table["fate"].tolist() == [
        "dropped at layer 1",
        "kept to the end",
        "dropped at layer 3",
        "dropped at layer 2",
        "kept to the end",
        "dropped at layer 1",
    ]
    assert table["people"].tolist() == ["", "marked", "marked", "", "", ""]
    assert table["needed, layer 1"].tolist() == [0.6, 0.6, 0.6, 0.5, 0.5, 0.5]
    # A word that fell at layer 1 has no figures at layer 2; one that fell at layer 2 has, and none at layer 3.
    assert table["contribution, layer 2"].isna().tolist() == [True, False, False, False, False, True]
    assert table["needed, layer 3"].isna().tolist() == [True, False, False, True, False, True]
    assert table.loc[5, "contribution, layer 3"] == 1.3
    assert table["score, Attention"].tolist() == list(ATTENTION)


def test_the_word_table_without_marks_and_without_the_model() -> None:
    assert list(word_table(seen(marked=()), {}).columns) == ["word", "fate", "layers", "score, attention"]


def test_fate_counts_layers_from_one() -> None:
    assert [fate(fell, 2) for fell in (0, 1, 2, 3)] == [
        "dropped at layer 1",
        "dropped at layer 2",
        *["kept to the end"] * 2,
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("a\x00b\x1b[31m\x7f\n", "a\ufffdb\ufffd[31m\ufffd\ufffd"),
        ("half \ud83d a pair", "half \ufffd a pair"),
        ("\u202eright to left \u05d0", "\u202eright to left \u05d0"),
        ("<b>&\u2028", "<b>&\u2028"),
    ],
)
def test_clean_replaces_what_cannot_be_sent_or_shown(text: str, expected: str) -> None:
    assert clean(text) == expected


hostile = st.text(st.one_of(st.characters(), st.sampled_from("\x00\x1f\x7f\ud800\udfff\u2028\u202e<>&\"'")))


@settings(deadline=None)
@given(hostile)
def test_clean_text_can_be_sent_and_is_as_long(text: str) -> None:
    whole = clean(text)
    assert len(whole) == len(text) and not re.search("[\x00-\x1f\x7f\ud800-\udfff]", whole)
    assert clean(whole) == whole and whole.encode().decode() == whole


@settings(deadline=None)
@given(st.lists(st.floats(-1e6, 1e6), max_size=5))
def test_rounded_to_four_digits(values: list[float]) -> None:
    for value, short in zip(values, rounded(np.array(values)), strict=True):
        assert short == pytest.approx(value, rel=5.1e-4)
        assert len(re.sub(r"e.*|[-.]", "", repr(short)).strip("0")) <= 4


# ---------------------------------------------------------------- a text of one's own


def test_a_text_of_ones_own() -> None:
    example = own_text("  Good   film .\r\n\n\tbut\u00a0bad\u2028end ")
    assert example.documents[0].sentences == (("Good", "film", "."), ("but", "bad"), ("end",))
    assert (example.id, example.label, example.evidence, example.query) == ("Your text", "", (), "")


@pytest.mark.parametrize("text", ["", " ", "\n\t \u2028\u3000\n"])
def test_a_text_without_words(text: str) -> None:
    with pytest.raises(UserError, match="no words; write or paste some"):
        own_text(text)


def test_a_text_may_have_twenty_thousand_words_and_no_more() -> None:
    assert len(own_text("w " * MOST_WORDS).words) == MOST_WORDS == 20_000
    with pytest.raises(UserError, match="the text has 20,001 words; give at most 20,000"):
        own_text("w\n" * (MOST_WORDS + 1))


@settings(deadline=None)
@given(hostile)
def test_the_words_are_what_stands_between_white_space(text: str) -> None:
    words = re.sub("[\ud800-\udfff]", "\ufffd", text).split()
    if words:
        assert list(own_text(text).words) == words
    else:
        with pytest.raises(UserError):
            own_text(text)


def test_uploaded_bytes() -> None:
    assert decoded(b"\xef\xbb\xbfg\xc3\xbct", "a.txt") == "güt"
    with pytest.raises(DataError, match=r"^a\.txt: not UTF-8; save the file as UTF-8 text$"):
        decoded("güt".encode("latin-1"), "a.txt")


# ---------------------------------------------------------------- what can be opened


def names(runs: Path, root: Path | None, labels: Sequence[str] = ("NEG", "POS")) -> list[str]:
    return [source.name for source in sources(runs, root, labels)]


SAMPLES = ["movies-test-sample", "movies-val-sample", "movies-train-sample"]


def test_data_sets_with_the_models_classes_can_be_opened(tmp_path: Path, data_root: Path) -> None:
    assert names(tmp_path / "absent", None) == SAMPLES
    assert names(tmp_path / "absent", tmp_path) == SAMPLES
    assert names(tmp_path / "absent", data_root, ("POS", "NEG")) == ["movies-test", "movies-val", "movies-train"]
    assert names(tmp_path / "absent", data_root, ("bad", "good")) == []
    (data_root / "movies" / "val.jsonl").unlink()
    assert names(tmp_path / "absent", data_root) == ["movies-test", "movies-train"]


def test_the_tables_of_a_classification_task_can_be_opened(tmp_path: Path) -> None:
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text("sentence\tlabel\ngood film\t1\n")
    assert names(tmp_path / "absent", tmp_path, DATASETS["sst2"].labels) == ["sst2-val"]
    (folder / "train.tsv").write_text("sentence\tlabel\ngood film\t1\n")
    assert names(tmp_path / "absent", tmp_path, DATASETS["sst2"].labels) == ["sst2-val", "sst2-train"]


def test_a_release_may_stand_where_the_environment_says(
    tmp_path: Path, data_root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ADAPLER_DATA", str(data_root))
    assert names(tmp_path / "absent", None)[0] == "movies-test"


def test_finished_runs_can_be_opened_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name, manifest in {
        "b": '{"command": "eval"}',
        "a": '{"command": "eval"}',
        "trained": '{"command": "train"}',
        "list": "[]",
        "broken": "{",
        "bytes": "\xff",
        "deep": "[" * 100_000,
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "manifest.json").write_text(manifest, encoding="latin-1")
        (tmp_path / name / "metrics.json").write_text("{}")
    (tmp_path / "unfinished").mkdir()
    (tmp_path / "unfinished" / "manifest.json").write_text('{"command": "eval"}')
    found = sources(tmp_path, None, ())
    assert found == [Source("run a", tmp_path / "a"), Source("run b", tmp_path / "b")]


def test_a_data_set_without_a_run(data_root: Path) -> None:
    release = open_dataset(Source("movies-val", None, "movies", "val"), data_root)
    assert (release.split.source, release.split.name) == ("release", "val") and not release.predictions
    sample = open_dataset(Source("movies-test-sample", None, "movies", "test"), data_root)
    assert sample.split.source == "bundled sample"
    assert release.example("b.txt").words[:2] == ("bad", "film")
    with pytest.raises(MissingError, match=r"no\.txt: movies-val has no document of this name"):
        release.example("no.txt")


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory, checkpoint: Path) -> tuple[Path, Path]:
    """A run of ``eval`` and the data root that it read."""
    folder = tmp_path_factory.mktemp("finished")
    documents = {"a.txt": "the film was good .\ngood good film .\n", "b.txt": "bad film , very bad .\n"}
    rows = [annotation("a.txt", "POS", (3, 4), (5, 7)), annotation("b.txt", "NEG", (0, 2))]
    root = write_dataset(folder / "data", documents, {"test": rows, "val": rows})
    config = EvalConfig(
        "movies", data_root=str(root), model=str(checkpoint), methods=("random",), output_dir=str(folder / "run")
    )
    return evaluate(config)[0], root


def copy_of(run: Path, place: Path, **changes: Any) -> Path:
    """The run's files at ``place``, with ``changes`` of the manifest (``...``: without that key)."""
    for path in sorted(run.rglob("*")):
        if path.is_file() and path.suffix in (".json", ".jsonl", ".csv"):
            target = place / path.relative_to(run)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    manifest = json.loads((place / "manifest.json").read_text()) | changes
    kept = {key: value for key, value in manifest.items() if value is not ...}
    (place / "manifest.json").write_text(json.dumps(kept))
    return place


def test_a_run_is_opened_whole(finished: tuple[Path, Path], checkpoint: Path) -> None:
    folder, _ = finished
    run = open_run("mine", folder, None)
    assert run.name == "mine" and [example.id for example in run.split.examples] == ["a.txt", "b.txt"]
    assert list(run.predictions) == ["adapler", "random"] and set(run.predictions["random"]) == {"a.txt", "b.txt"}
    assert run.model == str(checkpoint) and run.model_checksum.startswith("sha256:") and run.reference is None
    assert run.figures == json.loads((folder / "metrics.json").read_text())
    assert run.table is not None and run.table["method"].tolist() == ["adapler"] * 2 + ["random"] * 2
    assert list(run.of(run.example("a.txt"))) == ["adapler", "random"]


def test_methods_stand_in_the_order_of_the_manifest_and_what_was_left_by_others_is_not_read(
    finished: tuple[Path, Path], tmp_path: Path
) -> None:
    folder = copy_of(finished[0], tmp_path / "run", methods=["random", "adapler"], add={"zebra": "sha256:0"})
    for name in ("zebra", "another"):
        (folder / "predictions" / f"{name}.jsonl").write_bytes((folder / "predictions" / "random.jsonl").read_bytes())
    (folder / "predictions" / ".attention.jsonl").write_text("half a li")
    assert list(open_run("r", folder, None).predictions) == ["random", "adapler", "zebra"]


def test_documents_that_moved_are_found_below_the_data_root(finished: tuple[Path, Path], tmp_path: Path) -> None:
    folder, root = finished
    moved = copy_of(folder, tmp_path / "run", data_root=str(tmp_path))
    assert len(open_run("r", moved, root).split.examples) == 2
    with pytest.raises(MissingError, match="is not there"):
        open_run("r", moved, None)


def test_a_run_of_the_bundled_model_and_of_a_part(finished: tuple[Path, Path], tmp_path: Path) -> None:
    folder = copy_of(finished[0], tmp_path / "run", model="bundled model", limit=1)
    run = open_run("r", folder, None)
    assert run.model is None and [example.id for example in run.split.examples] == ["a.txt"]


@pytest.mark.parametrize(
    ("file", "content", "error", "message"),
    [
        ("manifest.json", None, MissingError, "not the folder of an 'eval' run"),
        ("manifest.json", '{"command": "bench"}', MissingError, "not the folder of an 'eval' run"),
        ("manifest.json", '{"command": "eval"}', DataError, "is not a run that can be read"),
        ("metrics.json", None, MissingError, r"metrics\.json: is missing; finish the run with 'eval --resume'"),
        ("metrics.json", "{broken", DataError, "is not a run that can be read"),
        ("metrics.json", "[]", DataError, "is not a run that can be read"),
        ("metrics.json", "[" * 100_000, DataError, "is not a run that can be read"),
        ("per_document.csv", None, MissingError, r"per_document\.csv: is missing"),
        ("per_document.csv", "", DataError, "is not a run that can be read"),
        ("per_document.csv", "a,b\n1,2\n", DataError, "is not a run that can be read"),
        ("predictions/adapler.jsonl", "{broken\n", DataError, r"adapler\.jsonl:1: not valid JSON"),
        ("predictions/random.jsonl", "", DataError, "has no prediction"),
    ],
)
def test_a_broken_run(
    finished: tuple[Path, Path], tmp_path: Path, file: str, content: str | None, error: type, message: str
) -> None:
    folder = copy_of(finished[0], tmp_path / "run")
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(error, match=message):
        open_run("r", folder, None)


@pytest.mark.parametrize(
    "changes",
    [{"limit": ...}, {"limit": "all"}, {"dataset": 1}, {"model": ...}, {"model_checksum": ...}, {"methods": 3}],
    ids=str,
)
def test_a_manifest_of_another_shape(finished: tuple[Path, Path], tmp_path: Path, changes: dict[str, Any]) -> None:
    with pytest.raises(UserError):
        open_run("r", copy_of(finished[0], tmp_path / "run", **changes), None)


def test_other_documents_than_the_runs(finished: tuple[Path, Path], tmp_path: Path) -> None:
    folder, root = finished
    other = write_dataset(
        tmp_path, {"a.txt": "the film was bad .\n", "b.txt": "bad\n"}, {"test": [annotation("a.txt", "POS")]}
    )
    run = copy_of(folder, tmp_path / "run", data_root=str(other))
    with pytest.raises(DataError, match=r"its documents \(sha256:.*\) are not those found at .*movies \(sha256:"):
        open_run("r", run, root)


def uploaded(path: Path, made: Mapping[str, Sequence[Prediction]]) -> dict[str, Path]:
    files = {}
    for method, predictions in made.items():
        files[method] = path / f"{method}.jsonl"
        files[method].write_text("".join(map(prediction_line, predictions)))
    return files


def test_prediction_files_of_anyones(tmp_path: Path) -> None:
    rows = [{"text": "good film", "label": "POS"}, {"text": "bad", "label": "NEG"}]
    split = from_rows(rows, "mine")
    (docid,) = (document.docid for document in split.examples[0].documents)
    fits = Prediction(split.examples[0].id, "POS", {}, {docid: (1.0, 0.0)})
    other = Prediction("elsewhere", "POS", {}, {"x": (1.0,)})
    opened = open_predictions("one", split, uploaded(tmp_path, {"m": [fits, other]}))
    assert opened.predictions == {"m": {fits.id: fits}} and opened.split is split and opened.table is None
    with pytest.raises(DataError, match=r"^n: has no prediction for the documents of mine, test$"):
        open_predictions("two", split, uploaded(tmp_path, {"m": [fits], "n": [other]}))
    with pytest.raises(DataError, match="3 scores for the 2 words"):
        open_predictions(
            "three", split, uploaded(tmp_path, {"m": [Prediction(fits.id, "POS", {}, {docid: (1.0, 0.0, 0.0)})]})
        )


# ---------------------------------------------------------------- what if


def test_a_change_is_read_on_the_words_of_the_whole_document() -> None:
    """Words 1, 3 and 4 of six are present; the trace is of those three."""
    part = replace(
        trace_of(),
        fell=np.array([3, 0, 2]),
        contribution=np.array([[1.0, 0.1, 2], [1.5, 0, 0.2], [1, 0, 0]]),
        window=np.array([0, 0, 1]),
    )
    found = changed(example_of(SENTENCES, [Span("d", 0, 2)]), part, np.array([1, 3, 4]), "NEG")
    assert found.fell.tolist() == [0, 3, 0, 0, 2, 0]
    assert found.kept.tolist() == [False, True, False, False, False, False]
    assert found.left == [6, 2, 2, 1] and found.label == "NEG" and found.speedup == 2.5
    assert found.trace is not None and found.trace.window.tolist() == [0, 0, 0, 0, 1, 0]
    assert found.trace.contribution.tolist()[0] == [0, 1.0, 0, 0.1, 2, 0]
    # Marks stay, but no figure against them is given: they are of the unchanged text.
    assert found.is_marked and found.fpr is None and found.token_f1 is None


@settings(deadline=None)
@given(st.lists(st.booleans(), min_size=6, max_size=6).filter(any), st.data())
def test_a_change_loses_nothing_of_the_trace(present: list[bool], data: st.DataObject) -> None:
    places = np.flatnonzero(present)
    fell = np.array(data.draw(st.lists(st.integers(0, 3), min_size=len(places), max_size=len(places))))
    part = replace(
        trace_of(),
        fell=fell,
        contribution=np.arange(1.0, 3 * len(places) + 1).reshape(3, -1),
        window=np.zeros(len(places), np.int64),
    )
    found = changed(example_of(SENTENCES), part, places, "POS")
    assert found.fell[places].tolist() == fell.tolist() and found.fell.sum() == fell.sum()
    assert found.trace is not None and (found.trace.contribution[:, places] == part.contribution).all()
    assert found.kept.sum() == (fell == 3).sum() and not found.kept[~np.array(present)].any()
    assert (
        mask_of(spans_of(found.kept, found.example.documents), found.example.documents).tolist() == found.kept.tolist()
    )

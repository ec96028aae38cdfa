"""The main job on tiny models: what it writes, what each method explains, stopping and going on."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
import torch
from conftest import annotation, tiny_model, write_dataset

from adapler_explain import streaming
from adapler_explain.evaluate import EvalConfig, evaluate
from adapler_explain.explainers import EXPLAINERS
from eraser_eval import human, report
from eraser_eval.datasets import from_rows, load
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.metrics import METRICS
from eraser_eval.prediction_file import read_predictions
from eraser_eval.records import Span, mask_of


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path, data_root: Path) -> EvalConfig:
    return EvalConfig("movies", data_root=str(data_root), model=str(checkpoint), output_dir=str(tmp_path / "run"))


def test_everything_promised_is_written(config: EvalConfig) -> None:
    folder, figures = evaluate(config)
    files = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    default = [name for name, explainer in EXPLAINERS.items() if explainer.default]
    assert files == {
        "manifest.json",
        "metrics.json",
        "table.md",
        "per_document.csv",
        "comparison.png",
        "comparison.pdf",
        *(f"predictions/{name}.jsonl" for name in default),
    }
    assert json.loads((folder / "metrics.json").read_text()) == figures
    assert list(figures["methods"]) == default
    for values in figures["methods"].values():
        assert values.keys() >= report.SHOWN.keys() | {"seconds_per_document", "fpr_pooled", "precision_at_10"}
    assert figures["signatures"].keys() == METRICS.keys() & figures["methods"]["adapler"].keys()
    assert {
        "dataset",
        "source",
        "split",
        "documents",
        "model",
        "classification",
        "efficiency",
        "chance",
    } <= figures.keys()
    assert figures["efficiency"]["flops_speedup"] > 1 and len(figures["efficiency"]["kept_per_layer"]) == 3
    assert len(pd.read_csv(folder / "per_document.csv")) == 4 * len(default)
    assert "release" in (folder / "table.md").read_text()
    manifest = json.loads((folder / "manifest.json").read_text())
    assert (
        manifest["seed"] == 0
        and manifest["environment"]["packages"]["torch"]
        and manifest["data_checksum"].startswith("sha256:")
    )


def test_every_method_chooses_as_many_words_as_adapler_kept(config: EvalConfig) -> None:
    folder, _ = evaluate(config)
    examples = load("movies", "test", Path(config.data_root)).examples
    kept = {}
    for path in [folder / "predictions" / "adapler.jsonl", *(folder / "predictions").glob("*.jsonl")]:
        for example, made in zip(examples, read_predictions(path), strict=True):
            assert example.id == made.id
            words = int(mask_of(made.spans, example.documents).sum())
            assert kept.setdefault(example.id, words) == words
            assert [len(scores) for scores in made.scores.values()] == [len(example.words)]
    assert 0 < sum(kept.values()) < sum(len(example.words) for example in examples)


def test_a_layer_gives_more_words_than_a_later_one(config: EvalConfig) -> None:
    kept = [
        evaluate(replace(config, methods=("random",), layer=layer, output_dir=f"{config.output_dir}{layer}"))[1][
            "methods"
        ]["adapler"]["words_per_document"]
        for layer in (0, 2)
    ]
    assert kept[0] > kept[1]


def test_who_is_explained(config: EvalConfig, stock_checkpoint: Path) -> None:
    folder, figures = evaluate(replace(config, methods=("saliency",), reference_model=str(stock_checkpoint)))
    assert figures["methods"]["adapler"]["explains"] == "pruned"
    assert figures["methods"]["saliency"]["explains"] == "reference"
    assert figures["classification"].keys() == {"pruned", "unpruned", "reference"}
    assert str(stock_checkpoint) in (folder / "table.md").read_text()
    _, figures = evaluate(replace(config, methods=("saliency",), output_dir=config.output_dir + "-unpruned"))
    assert figures["methods"]["saliency"]["explains"] == "unpruned"


def test_rationales_are_erased_on_request_and_their_figures_stand_in_the_table(config: EvalConfig) -> None:
    asked = replace(config, methods=("contribution@1", "gold", "random"), faithfulness="remove", fractions=(0.2, 0.5))
    folder, figures = evaluate(asked)
    for method, values in figures["methods"].items():
        for name in ("comprehensiveness", "sufficiency", "comprehensiveness_aopc", "log_odds", "deletion", "insertion"):
            if method == "gold" and name not in ("comprehensiveness", "sufficiency"):
                # It is no ranking: which of its words a share of them holds would be chance.
                assert values[name]["value"] is None
            else:
                assert -20 < values[name]["value"] < 20, (method, name)
    gold = figures["methods"]["gold"]
    assert gold["budget"] == "own" and gold["token_f1"]["value"] == gold["average_precision"]["value"] == 1
    assert (
        figures["methods"]["random"]["forward_per_document"] == 0 < figures["methods"]["adapler"]["flops_per_document"]
    )
    assert "| Comp AOPC ↑ | Suff AOPC ↓ | s / document | windows | GFLOPs |" in (folder / "table.md").read_text()
    whole = figures["signatures"]["comprehensiveness_aopc"]
    assert "erased:remove" in whole and "words:largest_of_a_word's_pieces" in whole
    again = replace(asked, output_dir=config.output_dir + "-mean", pool="mean", sign="absolute", faithfulness="")
    _, other = evaluate(again)
    assert "comprehensiveness" not in other["methods"]["adapler"]
    assert "words:mean_of_a_word's_pieces,_without_sign" in other["signatures"]["fpr"]


def test_target_gold_explains_the_gold_class(config: EvalConfig) -> None:
    folder, _ = evaluate(replace(config, methods=("saliency",), target="gold"))
    examples = load("movies", "test", Path(config.data_root)).examples
    made = read_predictions(folder / "predictions" / "saliency.jsonl")
    assert [p.extra["target"] for p in made] == [example.label for example in examples]


def without_times(folder: Path) -> dict:
    figures = json.loads((folder / "metrics.json").read_text())
    for values in figures["methods"].values():
        del values["seconds_per_document"]
    return figures


def test_an_interrupted_run_goes_on_where_it_was(config: EvalConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    methods = ("attention", "random")
    monkeypatch.setattr(streaming, "BATCH_DOCUMENTS", 1)
    whole, _ = evaluate(replace(config, methods=methods, output_dir=config.output_dir + "-whole"))
    real, calls = streaming.predict, []
    damaged = b'{"annotation_id": "cut o\xc3'

    def stop_after_six(*arguments: object) -> object:
        if len(calls) == 6:
            raise KeyboardInterrupt
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(streaming, "predict", stop_after_six)
    with pytest.raises(KeyboardInterrupt):
        evaluate(replace(config, methods=methods))
    folder = Path(config.output_dir)
    assert not (folder / "metrics.json").exists() and not (folder / "predictions" / "attention.jsonl").exists()
    partial = folder / "predictions" / ".attention.jsonl.partial-0"
    partial.write_bytes(partial.read_bytes() + damaged)
    finished = folder / "predictions" / "adapler.jsonl"
    lines = finished.read_bytes().splitlines(keepends=True)
    finished.write_bytes(b"".join([lines[0], b"{broken\n", *lines[2:]]))
    calls.clear()

    def count(*arguments: object) -> object:
        calls.append(arguments)
        return real(*arguments)

    monkeypatch.setattr(streaming, "predict", count)
    evaluate(replace(config, methods=methods, resume=True))
    assert len(calls) == 1 + 2 + 4
    assert without_times(folder) == without_times(whole)


def test_resume_adds_methods_but_refuses_another_question(config: EvalConfig) -> None:
    evaluate(replace(config, methods=("random",)))
    folder, figures = evaluate(replace(config, methods=("saliency",), resume=True))
    assert list(figures["methods"]) == json.loads((folder / "manifest.json").read_text())["methods"]
    assert {"random", "saliency"} <= set(figures["methods"])
    _, figures = evaluate(replace(config, methods=("random", "saliency"), resume=True))
    assert list(figures["methods"]) == ["adapler", "random", "saliency"]
    with pytest.raises(UsageError, match="other target"):
        evaluate(replace(config, methods=("random",), target="gold", resume=True))


def test_without_resume_the_same_question_is_asked_anew(config: EvalConfig) -> None:
    folder, _ = evaluate(replace(config, methods=("random",)))
    path = folder / "predictions" / "random.jsonl"
    path.write_text("")
    evaluate(replace(config, methods=("random", "saliency")))
    assert len(read_predictions(path)) == 4


@pytest.mark.parametrize("change", [{"target": "gold"}, {"methods": ("random",)}, {"limit": 2}])
def test_a_finished_run_is_not_overwritten_by_another_question(config: EvalConfig, change: dict) -> None:
    folder, _ = evaluate(replace(config, methods=("random", "saliency")))
    before = without_times(folder)
    with pytest.raises(UsageError, match="holds a finished run with"):
        evaluate(replace(config, **{"methods": ("random", "saliency")} | change))
    assert without_times(folder) == before


@pytest.mark.parametrize("name", ["thesis.tex", "manifest.json"])
def test_a_folder_that_is_no_run_is_left_alone(config: EvalConfig, name: str) -> None:
    folder = Path(config.output_dir)
    folder.mkdir()
    (folder / name).write_text('{"command": "train"}')
    with pytest.raises(UsageError, match="no run"):
        evaluate(config)
    assert [path.name for path in folder.iterdir()] == [name]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ("lima", "saliency")}, "--methods lima: unknown"),
        ({"methods": ("attention@3",)}, "layer from 0 to 2"),
        ({"batch_size": "0"}, "--batch-size 0: give a number"),
        ({"pool": "least"}, "--pool least: choose from max, sum, mean"),
        ({"sign": "no"}, "--sign no: choose from"),
        ({"faithfulness": "burn"}, "--faithfulness burn: choose from remove"),
        ({"target": "other"}, "--target other"),
        ({"layer": 3}, "layers 0 to 2"),
    ],
)
def test_options_that_cannot_be_used(config: EvalConfig, change: dict, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        evaluate(replace(config, **change))
    assert not Path(config.output_dir).exists()


def test_documents_without_evidence_and_three_classes(tmp_path: Path, tokenizer: object) -> None:
    """As in HateXplain: where nothing is marked, false alarms still count and what is undefined is left out."""
    labels = ("hatespeech", "normal", "offensive")
    documents = {"a": "good film", "b": "the bad film .", "c": "bad"}
    rows = [annotation("a", "normal"), annotation("b", "offensive", (1, 2)), annotation("c", "hatespeech", (0, 1))]
    root = write_dataset(tmp_path, documents, {"test": rows})
    (root / "movies").rename(root / "hatexplain")
    names = {"id2label": dict(enumerate(labels)), "label2id": {label: i for i, label in enumerate(labels)}}
    tiny_model(**names).save_pretrained(tmp_path / "model")
    tokenizer.save_pretrained(tmp_path / "model")
    config = EvalConfig("hatexplain", data_root=str(root), output_dir=str(tmp_path / "run"))
    with pytest.raises(MissingError, match="no model for hatexplain"):
        evaluate(config)
    folder, figures = evaluate(replace(config, model=str(tmp_path / "model")))
    rows = pd.read_csv(folder / "per_document.csv").query("method == 'adapler'").set_index("annotation_id")
    assert rows["average_precision"].isna().tolist() == [True, False, True]
    assert rows["fpr"].isna().tolist() == [False, False, True]
    assert figures["methods"]["saliency"]["fpr"]["value"] is not None


def test_a_stock_model_is_no_adapler_model(config: EvalConfig, stock_checkpoint: Path) -> None:
    with pytest.raises(UsageError, match="not an AdapLeR checkpoint"):
        evaluate(replace(config, model=str(stock_checkpoint)))


def test_a_document_the_tokenizer_cannot_read_is_named(config: EvalConfig, data_root: Path) -> None:
    (data_root / "movies" / "docs" / "d.txt").write_text("\u200d \x07 \u200d \u200d")
    with pytest.raises(DataError, match=r"test\.jsonl:4: 'd\.txt': the text holds no piece"):
        evaluate(replace(config, methods=("random",)))
    assert not Path(config.output_dir).exists()


def test_a_damaged_model_is_named(config: EvalConfig, tmp_path: Path) -> None:
    model = tiny_model()
    with torch.no_grad():
        model.classifier.weight.fill_(float("nan"))
    model.save_pretrained(tmp_path / "nan")
    for name in ("tokenizer.json", "tokenizer_config.json"):
        (tmp_path / "nan" / name).write_bytes((Path(config.model) / name).read_bytes())
    with pytest.raises(MissingError, match="no finite probabilities"):
        evaluate(replace(config, model=str(tmp_path / "nan")))


def test_files_say_what_was_explained(config: EvalConfig) -> None:
    folder, figures = evaluate(replace(config, methods=("random",)))
    made = read_predictions(folder / "predictions" / "random.jsonl")[0]
    assert made.extra["data"] == "movies, test, release" and made.extra["model"] == figures["model_checksum"]
    assert set(pd.read_csv(folder / "per_document.csv")["data"]) == {"movies, test, release"}


def test_people_and_other_systems_are_further_rows(config: EvalConfig, data_root: Path, tmp_path: Path) -> None:
    first = {"docid": "a.txt", "hard_rationale_predictions": [{"start_token": 3, "end_token": 4}]}
    other = tmp_path / "other.jsonl"
    rows = [{"annotation_id": "a.txt", "rationales": [first]}, {"annotation_id": "elsewhere", "rationales": []}]
    other.write_text("".join(json.dumps(row) + "\n" for row in rows))
    marks = [[{"docid": "d.txt", "start_token": 0, "end_token": end}] for end in (2, 3)]
    annotators = {"annotation_id": "d.txt", "annotators": marks}
    (data_root / "movies" / "annotators.jsonl").write_text(json.dumps(annotators) + "\n")
    folder, figures = evaluate(replace(config, methods=("random",), add=(f"other={other}",)))
    assert list(figures["methods"]) == ["adapler", "random", "other", human.METHOD]
    (kept,) = read_predictions(folder / "predictions" / "other.jsonl")
    assert (kept.id, kept.spans) == ("a.txt", (Span("a.txt", 3, 4),))
    added, people = figures["methods"]["other"], figures["methods"][human.METHOD]
    # One of three marked words, and no other.
    assert (added["documents"], added["token_f1"]["value"], added["fpr"]["value"]) == (1, pytest.approx(1 / 2), 0)
    # Two of three words against three, and three against two.
    assert (people["documents"], people["token_f1"]["value"]) == (1, pytest.approx(4 / 5))
    assert added["difference_to_adapler"]["token_f1"]["value"] is not None
    table = (folder / "table.md").read_text()
    assert "| other (n = 1, own number of words) |" in table and "| human (n = 1, own number of words) |" in table


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        ("other", UsageError, "write NAME=FILE"),
        ("a|b=x", UsageError, "write NAME=FILE"),
        ("random=x", UsageError, "'random' is taken"),
        ("other=absent.jsonl", MissingError, "no such file"),
    ],
)
def test_rows_that_cannot_be_added(config: EvalConfig, entry: str, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        evaluate(replace(config, methods=("random",), add=(entry,)))
    assert not Path(config.output_dir).exists()


def test_rows_in_memory_and_a_file_of_ones_own_give_the_same(config: EvalConfig, tmp_path: Path) -> None:
    rows = [
        {"text": "the good film", "label": "POS", "rationale": [0, 1, 0]},
        {"text": "bad film .\nvery bad", "label": "NEG", "rationale": [1, 0, 0, 0, 1]},
    ]
    path = tmp_path / "mine.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(config, data_root=None, methods=("saliency",))
    _, one = evaluate(replace(config, output_dir=str(tmp_path / "one")), from_rows(rows, "mine"))
    _, two = evaluate(replace(config, dataset=str(path), output_dir=str(tmp_path / "two")))
    for figures in (one, two):
        for values in figures["methods"].values():
            del values["seconds_per_document"]
    assert one["methods"] == two["methods"]
    assert (one["source"], two["source"], two["dataset"]) == ("own rows", "own files", "mine")


def test_queries_are_read_and_never_scored(config: EvalConfig, tmp_path: Path) -> None:
    """Two annotations of one document, MultiRC's way: the query changes what is read, scores are the document's."""
    folder = tmp_path / "questions"
    write_dataset(folder, {"doc": "the film was good . the end was bad"}, {})
    folder = (folder / "movies").rename(tmp_path / "multi")
    rows = []
    for number, query in enumerate(("good ?", "bad bad bad ?")):
        evidence = [[{"docid": "doc", "start_token": number, "end_token": number + 1}]]
        name = f"doc:{number}"
        rows.append({"annotation_id": name, "classification": ("NEG", "POS")[number], "query": query, "docids": None})
        rows[-1]["evidences"] = evidence if number else []
    (folder / "test.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    config = replace(config, dataset=str(folder), data_root=None, methods=("saliency", "attention-rollout"))
    run, _ = evaluate(config)
    for method in ("adapler", "saliency", "attention-rollout"):
        one, two = read_predictions(run / "predictions" / f"{method}.jsonl")
        assert {docid: len(row) for docid, row in one.scores.items()} == {"doc": 9}
        assert one.probabilities != two.probabilities and one.scores != two.scores


def test_two_processes_predict_each_document_once(config: EvalConfig, tmp_path: Path) -> None:
    """The same run folder as of one process, also where an interrupted run of one is gone on with by two."""
    methods = ("attention", "random")
    whole, _ = evaluate(replace(config, methods=methods, output_dir=str(tmp_path / "one")))
    started = tmp_path / "two" / "predictions"
    started.mkdir(parents=True)
    shutil.copy(whole / "manifest.json", started.parent)
    lines = (whole / "predictions" / "adapler.jsonl").read_text().splitlines(keepends=True)
    (started / ".adapler.jsonl.partial-0").write_text(lines[2])
    words = [sys.executable, "-m", "adapler_explain.cli", "eval", "--nproc", "2", "--resume", "--format", "json"]
    words += ["--dataset", "movies", "--data-root", str(config.data_root), "--model", str(config.model)]
    words += ["--methods", ",".join(methods), "--output-dir", str(started.parent)]
    ended = subprocess.run(words, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert json.loads(ended.stdout)["methods"].keys() == {"adapler", *methods}
    assert sorted(path.name for path in started.iterdir()) == ["adapler.jsonl", "attention.jsonl", "random.jsonl"]
    for method in ("adapler", *methods):
        one, two = (read_predictions(folder / "predictions" / f"{method}.jsonl") for folder in (whole, started.parent))
        assert [(p.id, p.label, p.spans) for p in one] == [(p.id, p.label, p.spans) for p in two]
        for a, b in zip(one, two, strict=True):
            assert all(b.scores[docid] == pytest.approx(scores, rel=1e-5) for docid, scores in a.scores.items())

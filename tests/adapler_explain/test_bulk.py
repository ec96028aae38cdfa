"""Texts in, predictions out: every form of input, order, stopping and going on, and what is refused."""

from __future__ import annotations

import csv
import io
import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from adapler_explain import bulk as bulk_module
from adapler_explain import linear
from adapler_explain.bulk import BulkConfig, Text, bulk, by_pieces
from adapler_explain.classifier import Classifier
from adapler_explain.predict import mean_probabilities
from eraser_eval.errors import DataError, MissingError, UsageError
from eraser_eval.prediction_file import read_predictions

TEXTS = ["the film was good .", "bad", "a long film , " * 12, "good good film\nbad end"]


@pytest.fixture
def config(tmp_path: Path, checkpoint: Path) -> BulkConfig:
    path = tmp_path / "in.jsonl"
    path.write_text("".join(json.dumps({"text": text, "id": f"t{n}"}) + "\n" for n, text in enumerate(TEXTS)))
    return BulkConfig(str(path), str(tmp_path / "out.jsonl"), str(checkpoint))


def lines(config: BulkConfig) -> list[dict]:
    return [json.loads(line) for line in Path(config.output).read_text().splitlines()]


def test_each_text_gets_what_it_gets_alone(config: BulkConfig, checkpoint: Path) -> None:
    assert bulk(replace(config, explain=True)) == {"rows": 4, "skipped": 0}
    classifier = Classifier.load(checkpoint)
    for text, line in zip(TEXTS, lines(config), strict=True):
        expected = mean_probabilities(classifier, classifier.windows(text.split()), True)
        assert list(line["classification_scores"].values()) == pytest.approx(expected, abs=1e-5)
        assert line["classification"] == classifier.labels[expected.argmax()]
        (entry,) = line["rationales"]
        chosen = [
            w for span in entry["hard_rationale_predictions"] for w in range(span["start_token"], span["end_token"])
        ]
        assert [text.split()[word] for word in chosen] == line["kept_words"]
        assert len(entry["soft_rationale_predictions"]) == len(text.split())
    assert [line["annotation_id"] for line in lines(config)] == ["t0", "t1", "t2", "t3"]
    assert len(read_predictions(Path(config.output))) == 4
    assert sorted(path.name for path in Path(config.output).parent.iterdir()) == ["in.jsonl", "out.jsonl"]


@pytest.mark.skipif(not linear.has_vnni(), reason="int8 needs a CPU with VNNI")
def test_int8_gives_nearly_the_same_whatever_the_batch(config: BulkConfig) -> None:
    bulk(config)
    exact = lines(config)
    bulk(replace(config, dtype="int8"))
    together = lines(config)
    bulk(replace(config, dtype="int8", batch_pieces=1))
    for one, quick, alone in zip(exact, together, lines(config), strict=True):
        assert quick["classification_scores"] == pytest.approx(one["classification_scores"], abs=0.2)
        assert quick["classification_scores"] == pytest.approx(alone["classification_scores"], abs=1e-4)
    assert exact != together


def test_int8_is_refused_where_it_would_be_wrong(config: BulkConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(linear, "has_vnni", lambda: False)
    with pytest.raises(UsageError, match="--dtype int8"):
        bulk(replace(config, dtype="int8"))


@pytest.mark.parametrize("pieces", [1, 20, 8192])
def test_the_size_of_batches_changes_nothing(config: BulkConfig, pieces: int) -> None:
    bulk(replace(config, explain=True))
    expected = lines(config)
    bulk(replace(config, explain=True, batch_pieces=pieces))
    for one, two in zip(expected, lines(config), strict=True):
        assert one["kept_words"] == two["kept_words"]
        assert one["classification_scores"] == pytest.approx(two["classification_scores"], abs=1e-5)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet", "txt"])
def test_every_form_of_input(config: BulkConfig, tmp_path: Path, ending: str) -> None:
    texts = [text.replace("\n", " ") for text in TEXTS]
    path = tmp_path / f"in.{ending}"
    if ending == "txt":
        path.write_text("\n".join(texts))
    elif ending == "parquet":
        arrow = pytest.importorskip("pyarrow")
        parquet = pytest.importorskip("pyarrow.parquet")
        parquet.write_table(arrow.table({"text": texts}), path)
    else:
        with path.open("w", newline="") as file:
            writer = csv.writer(file, delimiter="\t" if ending == "tsv" else ",")
            writer.writerows([["text"], *([text] for text in texts)])
    bulk(config)
    expected = [line["classification_scores"] for line in lines(config)]
    bulk(replace(config, input=str(path)))
    assert [line["classification_scores"] for line in lines(config)] == expected
    assert [line["annotation_id"] for line in lines(config)] == ["row-1", "row-2", "row-3", "row-4"]


def test_streams(config: BulkConfig, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    class Stdin:
        buffer = io.BytesIO(b"good film\nbad film\n")

    monkeypatch.setattr(sys, "stdin", Stdin)
    bulk(replace(config, input="-", output="-"))
    printed = capsys.readouterr().out.splitlines()
    assert [json.loads(line)["row"] for line in printed] == [1, 2]


def test_csv_output(config: BulkConfig, tmp_path: Path) -> None:
    output = tmp_path / "out.csv"
    bulk(replace(config, output=str(output), explain=True))
    bulk(replace(config, explain=True))
    with output.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row, line in zip(rows, lines(config), strict=True):
        assert row["classification"] == line["classification"] and row["kept_words"].split() == line["kept_words"]
        assert float(row["NEG"]) == line["classification_scores"]["NEG"]


def test_the_operating_point_moves_every_threshold(config: BulkConfig) -> None:
    kept = []
    for point in (1e-6, 1.0, 1e6):
        bulk(replace(config, explain=True, operating_point=point))
        kept.append([len(line["kept_words"]) for line in lines(config)])
    assert kept[0] == [5, 1, 48, 5] and kept[2] == [0, 0, 0, 0]
    assert sum(kept[0]) > sum(kept[1]) > 0


def test_a_stopped_run_goes_on(config: BulkConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    bulk(config)
    expected = Path(config.output).read_text()
    Path(config.output).unlink()
    original, calls = bulk_module.predictions, []

    def stopping(classifier: Classifier, group: list[Text], config: BulkConfig) -> object:
        calls.append(len(group))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return original(classifier, group, config)

    small = replace(config, batch_pieces=1)
    monkeypatch.setattr(bulk_module, "predictions", stopping)
    with pytest.raises(KeyboardInterrupt):
        bulk(small)
    assert not Path(config.output).exists()
    partial = Path(config.output).with_name(".out.jsonl.partial")
    partial.write_text(partial.read_text() + '{"row": 3, "torn')
    with pytest.raises(UsageError, match="begun with other dtype"):
        bulk(replace(small, resume=True, dtype="bfloat16"))
    assert bulk(replace(small, resume=True)) == {"rows": 2, "skipped": 0}
    assert [json.loads(line)["row"] for line in Path(config.output).read_text().splitlines()] == [1, 2, 3, 4]
    assert [json.loads(a)["classification"] for a in expected.splitlines()] == [
        x["classification"] for x in lines(config)
    ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b'{"text": "good"}\n{"text": 3}\n', ":2: needs a text in column 'text'"),
        (b'{"text": "good"}\n{broken\n', ":2: not valid JSON"),
        (b'{"text": "good"}\n{"text": " "}\n', ":2: document 'row-2' has no words"),
        (b'{"text": "good"}\n\xff\n', ":2: not UTF-8"),
    ],
)
def test_bad_rows_are_named_and_skipped_when_asked(
    config: BulkConfig, content: bytes, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    Path(config.input).write_bytes(content + b'{"text": "bad"}\n')
    with pytest.raises(DataError, match=message):
        bulk(config)
    assert not Path(config.output).exists()
    assert bulk(replace(config, skip_bad=True)) == {"rows": 2, "skipped": 1}
    assert [line["row"] for line in lines(config)] == [1, 3]
    assert message in capsys.readouterr().err


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"input": "absent.jsonl"}, MissingError, "absent.jsonl: no such file"),
        ({"output": "out.xml"}, UsageError, r"--output \.xml"),
        ({"dtype": "int3"}, UsageError, "--dtype int3"),
        ({"operating_point": 0.0}, UsageError, "--operating-point"),
        ({"input_format": "xml"}, UsageError, "--input-format xml"),
        ({"output": "-", "resume": True}, UsageError, "--resume: needs a file"),
    ],
)
def test_what_is_refused(config: BulkConfig, changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        bulk(replace(config, **changes))


def test_an_empty_input_is_an_error(config: BulkConfig) -> None:
    Path(config.input).write_text("")
    with pytest.raises(DataError, match="has no texts"):
        bulk(config)


def test_groups_keep_order_and_budget(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    texts = [Text(n, "", None, classifier.windows(["good"] * size)) for n, size in enumerate((1, 30, 2, 2, 9, 1))]
    groups = list(by_pieces(iter(texts), 14))
    assert [text.row for group in groups for text in group] == list(range(6))
    assert all(len(group) == 1 or sum(len(w) for t in group for w in t.windows) <= 14 for group in groups)

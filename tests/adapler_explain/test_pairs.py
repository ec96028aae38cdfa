"""Pairs of texts, and the special pieces of each tokenizer."""

from __future__ import annotations

import json
import string
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import tiny_model
from hypothesis import given
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
from transformers import BertTokenizer, DistilBertTokenizer, ElectraTokenizer, PreTrainedTokenizerFast, RobertaTokenizer

from adapler_explain.bulk import bulk
from adapler_explain.bulk_files import BulkConfig
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.request import Asked, Request
from adapler_explain.predict import Explained, Known, mean_probabilities, predict
from adapler_explain.trace import trace
from adapler_explain.windows import Frame, TextError
from eraser_eval.datasets import from_rows, load
from eraser_eval.errors import DataError, UsageError
from eraser_eval.prediction_file import read_predictions

FIRST, SECOND = "the good film , a good end", "bad bad film"
MERGES = [("Ġ", "g"), ("o", "o"), ("Ġg", "oo"), ("g", "oo"), ("Ġ", "b")]


def word_piece(kind: type[BertTokenizer]) -> BertTokenizer:
    letters = string.ascii_lowercase
    names = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", ".", ",", "good", "bad", "film", "the"]
    pieces = [*names, *letters, *(f"##{letter}" for letter in letters)]
    return kind(vocab={piece: index for index, piece in enumerate(pieces)})


def byte_pieces(*special: str) -> dict[str, int]:
    pieces = [*special, *sorted(pre_tokenizers.ByteLevel.alphabet()), *(a + b for a, b in MERGES)]
    return {piece: index for index, piece in enumerate(pieces)}


def roberta() -> RobertaTokenizer:
    return RobertaTokenizer(vocab=byte_pieces("<s>", "<pad>", "</s>", "<unk>", "<mask>"), merges=MERGES)


def modern_bert(**changes: Any) -> PreTrainedTokenizerFast:
    """As ModernBERT's ``tokenizer.json`` has it: pieces of bytes, offsets with the space, BERT's special pieces."""
    vocabulary = byte_pieces("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
    tokenizer = Tokenizer(models.BPE(vocabulary, MERGES))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, trim_offsets=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", 0), ("[SEP]", 1)],
    )
    names = {
        "cls_token": "[CLS]",
        "sep_token": "[SEP]",
        "pad_token": "[PAD]",
        "unk_token": "[UNK]",
        "mask_token": "[MASK]",
    }
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **names, **changes)


TOKENIZERS: dict[str, Callable[[], Any]] = {
    "bert": lambda: word_piece(BertTokenizer),
    "electra": lambda: word_piece(ElectraTokenizer),
    "distilbert": lambda: word_piece(DistilBertTokenizer),
    "roberta": roberta,
    "modernbert": modern_bert,
}


def classifier_with(tokenizer: Any, pieces: int = 512) -> Classifier:
    return Classifier(tiny_model(max_position_embeddings=max(pieces, 32)), tokenizer, pieces)


@pytest.fixture(scope="module")
def small(tokenizer: Any) -> Classifier:
    return classifier_with(tokenizer, 20)


@pytest.mark.parametrize("name", TOKENIZERS)
def test_what_fits_is_what_the_tokenizer_makes_of_it(name: str) -> None:
    tokenizer = TOKENIZERS[name]()
    classifier = classifier_with(tokenizer)
    first, second = FIRST.split(), SECOND.split()
    for windows, expected in (
        (classifier.windows(first), tokenizer(FIRST)),
        (classifier.windows(first, "the end ?"), tokenizer("the end ?", FIRST)),
        (classifier.windows([*first, *second], pair_at=len(first)), tokenizer(FIRST, SECOND)),
        (classifier.windows([*first, *second], "good ?", len(first)), tokenizer(f"good ? {FIRST}", SECOND)),
    ):
        (window,) = windows
        encoding = expected.encodings[0]
        assert (list(window.input_ids), list(window.token_type_ids)) == (encoding.ids, encoding.type_ids)
        own = [owner for owner in window.words if owner >= 0]
        assert own == sorted(own) and set(own) == set(range(max(own) + 1))
        of_no_text = [text is None for text in encoding.sequence_ids]
        assert all(owner == -1 for owner, special in zip(window.words, of_no_text, strict=True) if special)


def test_pieces_of_bytes_belong_to_the_word_that_holds_them() -> None:
    for tokenizer in (roberta(), modern_bert()):
        (window,) = classifier_with(tokenizer).windows(["good", "é", "goo", "ab"])
        held: dict[int, str] = {}
        for piece, owner in zip(tokenizer.convert_ids_to_tokens(list(window.input_ids)), window.words, strict=True):
            held[owner] = held.get(owner, "") + piece
        assert {owner: text for owner, text in held.items() if owner >= 0} == {0: "good", 1: "ĠÃ©", 2: "Ġgoo", 3: "Ġab"}


@given(st.lists(st.text("ab\u0301é好[].\u200dΣß", min_size=1, max_size=4), min_size=1, max_size=6))
def test_words_read_together_have_the_pieces_that_they_have_alone(words: list[str]) -> None:
    tokenizer = word_piece(BertTokenizer)
    encoding = tokenizer(words, is_split_into_words=True, add_special_tokens=False, split_special_tokens=True)
    pieces = classifier_with(tokenizer)._pieces(words, 0)
    assert (pieces.ids, pieces.words) == (encoding["input_ids"], encoding.word_ids())


@pytest.mark.parametrize("query", ["", "good ?"])
def test_the_first_text_of_a_long_pair_is_cut(small: Classifier, query: str) -> None:
    first, second = ["good", "film"] * 17, ["the", "bad", "film"]
    windows = small.windows([*first, *second], query, len(first))
    asked = 2 if query else 0
    assert len(windows) > 2 and all(len(window) <= 20 for window in windows)
    lengths = [len(window) for window in windows]
    assert max(lengths) - min(lengths) <= 1
    seen = [[owner for owner in window.words if owner >= 0] for window in windows]
    assert [owner for owners in seen for owner in owners[:-3]] == list(range(34))
    assert all(owners[-3:] == [34, 35, 36] for owners in seen)
    for window in windows:
        split = window.input_ids.index(3)
        assert window.input_ids[0] == 2 and window.input_ids[split + 1 :] == (10, 8, 9, 3)
        assert window.token_type_ids == (*[0] * (split + 1), 1, 1, 1, 1)
        assert window.words[: asked + 1] == (-1,) * (asked + 1)


@pytest.mark.parametrize(
    ("first", "second", "query", "message"),
    [
        ("good", "bad " * 17, "", "the second text of 17 pieces leaves no room in a window of 20"),
        ("good", "bad " * 10, "film " * 8, "the query and the second text of 18 pieces leaves no room"),
        ("good", "", "film " * 30, "the query of 30 pieces leaves no room"),
        ("good", "\u200d", "", "holds no piece"),
        ("\u200d", "good", "", "holds no piece"),
    ],
)
def test_pairs_that_cannot_be_read(small: Classifier, first: str, second: str, query: str, message: str) -> None:
    one, two = first.split(" "), second.split()
    with pytest.raises(TextError, match=message):
        small.windows([*one, *two], query.strip(), len(one) if two else None)


def test_a_pair_that_cannot_be_read_is_named_with_its_line(small: Classifier, tmp_path: Path) -> None:
    path = tmp_path / "pairs.jsonl"
    rows = [{"text": "good", "text_pair": "bad " * n, "label": "A"} for n in (16, 17)]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    with pytest.raises(DataError, match=r"pairs\.jsonl:2: 'row-2': the second text of 17 pieces leaves no room"):
        all_windows(small, load(str(path), "test"))


def test_words_of_both_texts_get_scores(small: Classifier) -> None:
    row = {"text": "good film " * 12, "text_pair": "the bad film", "label": "POS", "id": "a"}
    (example,) = from_rows([row], "pairs").examples
    assert len(small.windows_of(example)) > 1
    for method in EXPLAINERS:
        made = predict([example], method, Explained(small), Known(), {"a": 5})[0]
        assert {docid: len(scores) for docid, scores in made.scores.items()} == {"a": 24, "a/pair": 3}
        assert {span.docid for span in made.spans or ()} <= {"a", "a/pair"}
    found = trace(small, example.words, pair_at=example.pair_at)
    asked = Asked(example, small.windows_of(example), 1, 0)
    # Before the first layer all pieces are there, so that an even share is the same for both.
    (scores,) = EXPLAINERS["contribution"].word_scores(Request(small, [asked], layer=0))
    np.testing.assert_allclose(found.contribution[0][24:], scores[24:], atol=1e-6)
    assert found.fell.shape == (27,) and found.window[-3:].tolist() == [0, 0, 0]
    whole = Known().of(small, True, example)
    np.testing.assert_allclose(found.probabilities, whole, atol=1e-6)
    alone = Known().of(small, True, replace(example, pair=False))
    assert not np.allclose(whole, alone, atol=1e-6)


@pytest.mark.parametrize("column", ["text_pair", "other"])
def test_predict_reads_pairs(checkpoint: Path, tmp_path: Path, column: str) -> None:
    path, output = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [{"text": "good film", column: "the bad end", "id": "a"}, {"text": "good film", column: None}]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    bulk(BulkConfig(str(path), str(output), str(checkpoint), pair=column, explain=True))
    pair, single = (json.loads(line) for line in output.read_text().splitlines())
    classifier = Classifier.load(checkpoint)
    words = ["good", "film", "the", "bad", "end"]
    for line, windows in ((pair, classifier.windows(words, pair_at=2)), (single, classifier.windows(words[:2]))):
        expected = mean_probabilities(classifier, windows, True)
        assert list(line["classification_scores"].values()) == pytest.approx(expected, abs=1e-5)
    entries = {entry["docid"]: len(entry["soft_rationale_predictions"]) for entry in pair["rationales"]}
    assert entries == {"a": 2, "a/pair": 3} and [entry["docid"] for entry in single["rationales"]] == ["row-2"]
    assert len(read_predictions(output)) == 2
    path.write_text(json.dumps({"text": "good film", column: 7}) + "\n")
    with pytest.raises(DataError, match=f"in.jsonl:1: needs a text in column '{column}'"):
        bulk(BulkConfig(str(path), str(output), str(checkpoint), pair=column))


def test_frames_interleave_texts_and_special_pieces() -> None:
    frame = Frame.around([0, 7, 2, 2, 7, 2], [0] * 6, [None, 0, None, None, 1, None])
    assert len(frame) == 4 and [text for text, _, _ in frame.parts] == [None, 0, None, 1, None]


@pytest.mark.parametrize("name", ["post_processor", "model"])
def test_tokenizers_that_cannot_frame_a_text(name: str) -> None:
    tokenizer = modern_bert()
    if name == "post_processor":
        tokenizer.backend_tokenizer.post_processor = processors.ByteLevel()
    else:
        tokenizer.backend_tokenizer.model = models.BPE({"[CLS]": 0, "[SEP]": 1, "[PAD]": 2, "b": 3}, [])
    with pytest.raises(UsageError, match="the tokenizer must put its cls piece before a text"):
        classifier_with(tokenizer).windows(["b"])


def test_effects_of_a_second_text_are_added_over_the_windows(small: Classifier) -> None:
    """So that a pair's scores sum to what all its pieces have; shares are averaged, layers survived the most."""
    row = {"text": "good film " * 12, "text_pair": "the bad film", "label": "POS", "id": "a"}
    (example,) = from_rows([row], "pairs").examples
    asked = Asked(example, small.windows_of(example), 1, 0)
    assert len(asked.windows) > 1
    owned = [np.asarray(window.words) >= 0 for window in asked.windows]
    second = [np.asarray(window.words) >= 24 for window in asked.windows]
    for name, merge in (("integrated-gradients", np.sum), ("attention", np.mean), ("adapler", np.max)):
        row_ = EXPLAINERS[name]
        made = row_.explain(Request(small, [asked]))
        made = [values * len(values) for values in made] if row_.relative else made
        (scores,) = row_.word_scores(Request(small, [asked]), "sum")
        merged = merge([values[at] for values, at in zip(made, second, strict=True)], axis=0)
        assert scores[24:].sum() == pytest.approx(merged.sum(), abs=1e-5), name
        if name == "integrated-gradients":
            whole = sum(values[at].sum() for values, at in zip(made, owned, strict=True))
            assert scores.sum() == pytest.approx(whole, abs=1e-5)

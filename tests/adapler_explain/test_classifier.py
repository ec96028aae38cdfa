"""Words to windows and back."""

from __future__ import annotations

import json
import shutil
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest import SHAPE, tiny_model
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from transformers import MobileBertConfig, MobileBertForSequenceClassification

from adapler_explain.classifier import Classifier
from adapler_explain.loading import load_pretrained, model_checksum
from adapler_explain.windows import Window, cut, word_scores
from eraser_eval.errors import MissingError, UsageError


@pytest.fixture(scope="module")
def classifier(tokenizer: object) -> Classifier:
    return Classifier(tiny_model(), tokenizer, 20)


@given(st.lists(st.integers(1, 6), min_size=1, max_size=40), st.integers(6, 25))
def test_windows_fit_lose_nothing_and_are_cut_between_words(sizes: list[int], room: int) -> None:
    owners = np.repeat(np.arange(len(sizes)), sizes).tolist()
    bounds = cut(owners, room)
    assert bounds[0][0] == 0 and bounds[-1][1] == len(owners)
    assert all(a[1] == b[0] for a, b in pairwise(bounds))
    assert all(0 < b - a <= room for a, b in bounds)
    assert all(a == 0 or owners[a] != owners[a - 1] for a, _ in bounds)


@given(st.lists(st.integers(1, 4), min_size=60, max_size=90), st.integers(40, 60))
def test_windows_of_ordinary_words_are_few_and_even(sizes: list[int], room: int) -> None:
    bounds = cut(np.repeat(np.arange(len(sizes)), sizes).tolist(), room)
    lengths = [b - a for a, b in bounds]
    assert max(lengths) - min(lengths) <= 2 * 3 + 1  # both ends move back by at most three pieces, from rounded ideals
    assert len(bounds) <= -(-sum(sizes) // (room - 4))


@given(st.integers(1, 200), st.integers(1, 20))
def test_a_word_longer_than_a_window_is_cut_and_nothing_is_lost(size: int, room: int) -> None:
    bounds = cut([0] * size, room)
    assert sum(b - a for a, b in bounds) == size and all(0 < b - a <= room for a, b in bounds)


def test_every_word_is_in_a_window(classifier: Classifier) -> None:
    words = ["the", "film", "was", "good", "."] * 9
    windows = classifier.windows(words)
    assert len(windows) > 2
    assert [w for window in windows for w in dict.fromkeys(window.words) if w >= 0] == list(range(45))
    for window in windows:
        assert len(window) <= 20
        assert window.input_ids[0] == 2 and window.input_ids[-1] == 3
        assert window.words[0] == window.words[-1] == -1


def test_query_goes_first_and_belongs_to_no_word(classifier: Classifier) -> None:
    (window,) = classifier.windows(["good", "film"], query="the film")
    assert window.input_ids == (2, 10, 9, 3, 7, 9, 3)
    assert window.token_type_ids == (0, 0, 0, 0, 1, 1, 1)
    assert window.words == (-1, -1, -1, -1, 0, 1, -1)
    with pytest.raises(ValueError, match="leaves no room"):
        classifier.windows(["good"], query="the film " * 10)


def test_special_pieces_in_a_text_are_text(classifier: Classifier) -> None:
    (window,) = classifier.windows(["good", "[SEP]", "[CLS]", "film"])
    assert not {2, 3} & set(window.input_ids[1:-1])
    assert set(window.words) == {-1, 0, 1, 2, 3}


def test_a_text_without_pieces_is_refused(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="no piece"):
        classifier.windows(["\u200d", "\x00"])


def test_word_scores_are_maxima_and_words_without_pieces_score_nothing(classifier: Classifier) -> None:
    words = ["good", "\u200d", "xy"]
    (window,) = classifier.windows(words)
    pieces = [np.array([9.0, -1.0, -3.0, -2.0, 9.0])]
    assert word_scores(pieces, [window], 3).tolist() == [-1.0, 0.0, -2.0]


@pytest.mark.parametrize(("copies", "second"), [("sum", [6.0, -6.0]), ("mean", [3.0, -3.0]), ("max", [4.0, -2.0])])
def test_copies_of_a_second_text_are_one_text(copies: str, second: list[float]) -> None:
    """Two windows hold words 0 and 1, and each of them words 2 and 3 of the second text."""
    windows = [Window((2, 5, 3, 6, 7, 3), (0,) * 6, (-1, first, -1, 2, 3, -1)) for first in (0, 1)]
    pieces = [np.array([9.0, 1.0, 9.0, 4.0, -2.0, 9.0]), np.array([9.0, 5.0, 9.0, 2.0, -4.0, 9.0])]
    assert word_scores(pieces, windows, 4, "sum", pair_at=2, copies=copies).tolist() == [1.0, 5.0, *second]


def test_half_a_surrogate_pair_is_refused(classifier: Classifier) -> None:
    with pytest.raises(ValueError, match="half of a surrogate pair"):
        classifier.windows(["good", "\ud800film"])


def test_padding_does_not_change_probabilities(classifier: Classifier) -> None:
    short, long = classifier.windows(["good"]), classifier.windows(["bad", "film"] * 8)
    with torch.inference_mode():
        together = classifier.forward([*short, *long]).logits
        alone = torch.cat([classifier.forward(short).logits, classifier.forward(long).logits])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=0)


@pytest.mark.parametrize("pieces", [4, 33])
def test_impossible_windows(tokenizer: object, pieces: int) -> None:
    with pytest.raises(UsageError, match="8 to 32"):
        Classifier(tiny_model(), tokenizer, pieces)


def test_pickled_weights_are_never_read(tmp_path: Path) -> None:
    tiny_model().config.save_pretrained(tmp_path)
    (tmp_path / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    with pytest.raises(MissingError, match="never read"):
        load_pretrained(tmp_path)


def test_no_model_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(MissingError, match="no model that can be loaded"):
        load_pretrained(tmp_path / "absent" / "deeper" / "still")
    (tmp_path / "model.safetensors").write_bytes(b"garbage")
    with pytest.raises(MissingError):
        load_pretrained(tmp_path)


def test_a_checkpoint_that_lacks_weights_is_refused(checkpoint: Path, tmp_path: Path) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    save_file({name: w for name, w in weights.items() if name != "adapler.eta"}, tmp_path / "model.safetensors")
    with pytest.raises(MissingError, match=r"lacks 1 weights of the model \(adapler\.eta"):
        Classifier.load(tmp_path)
    assert load_pretrained(tmp_path, new=("adapler.",))


def test_the_checksum_sees_weights_configuration_and_tokenizer(checkpoint: Path, tmp_path: Path) -> None:
    for path in checkpoint.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    first = Classifier.load(tmp_path).checksum
    assert first == Classifier.load(checkpoint).checksum
    config = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"window_pieces": 10}))
    assert Classifier.load(tmp_path).checksum != first


def test_other_encoders_are_refused(tokenizer: object) -> None:
    model = MobileBertForSequenceClassification(MobileBertConfig(**SHAPE | {"embedding_size": 16}))
    with pytest.raises(UsageError, match="'mobilebert' is not supported; give one of bert, roberta"):
        Classifier(model, tokenizer, 20)


def test_loading_is_in_float32(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    assert classifier.model.dtype == torch.float32 and not classifier.model.training
    assert classifier.labels == ("NEG", "POS") and classifier.window_pieces == 20


@pytest.mark.parametrize("budget", [1, 25, 10_000])
def test_logits_come_in_order_whatever_the_budget(checkpoint: Path, stock_checkpoint: Path, budget: int) -> None:
    words = ["the", "film", "was", "good", "and", "the", "end", "was", "bad"]
    for path, prunes in ((checkpoint, (True, False)), (stock_checkpoint, (False,))):
        classifier = Classifier.load(path)
        windows = [window for n in (3, 9, 1, 5) for window in classifier.windows(words[:n] * n)]
        for prune in prunes:
            options = {"prune": prune} if hasattr(classifier.model, "adapler") else {}
            expected = torch.cat([classifier.forward([window], **options).logits for window in windows])
            got = classifier.logits(windows, prune, budget)
            torch.testing.assert_close(got, expected.detach(), atol=1e-5, rtol=0)


def test_pruned_outputs_come_with_their_windows(checkpoint: Path) -> None:
    classifier = Classifier.load(checkpoint)
    windows = [window for n in (3, 9, 1, 5) for window in classifier.windows(["good"] * n)]
    groups = list(classifier.pruned(windows, 14))
    assert [window for group, _ in groups for window in group] == windows
    assert all(len(output.logits) == len(group) for group, output in groups) and len(groups) > 1


def test_the_checksum_counts_what_a_tokenizer_is_made_from(checkpoint: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(checkpoint, tmp_path / "copy"))
    (folder / "merges.txt").write_text("a b\n")
    before = model_checksum(folder, None)
    (folder / "merges.txt").write_text("b c\n")
    assert model_checksum(folder, None) == before == model_checksum(checkpoint, None)
    (folder / "tokenizer.json").unlink()
    before = model_checksum(folder, None)
    (folder / "merges.txt").write_text("a b\n")
    assert model_checksum(folder, None) != before

"""Measuring a split: what it sums, that groups and shards change nothing, and the task's metric."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from adapler_explain import flops
from adapler_explain.classifier import Classifier, all_windows
from adapler_explain.measure import Measured, measure, merge
from adapler_explain.predict import mean_probabilities
from eraser_eval.datasets import Split, load
from eraser_eval.errors import MissingError, UsageError


@pytest.fixture
def split(data_root: Path) -> Split:
    found = load("movies", "val", data_root)
    return replace(found, info=replace(found.info, labels=("NEG", "POS")))


@pytest.fixture
def classifier(checkpoint: Path) -> Classifier:
    return Classifier.load(checkpoint)


def of(classifier: Classifier, split: Split, prune: bool = True, **options: object) -> Measured:
    return measure(classifier, split, all_windows(classifier, split), prune, **options)


@pytest.mark.parametrize("prune", [True, False])
def test_documents_get_the_means_over_their_windows(classifier: Classifier, split: Split, prune: bool) -> None:
    found = of(classifier, split, prune)
    for example, probabilities in zip(split.examples, found.probabilities, strict=True):
        expected = mean_probabilities(classifier, classifier.windows(example.words, example.query), prune)
        np.testing.assert_allclose(probabilities, expected, atol=1e-6)
    gold = [example.label for example in split.examples]
    right = np.mean([label == made for label, made in zip(gold, found.predicted_labels, strict=True)])
    assert found.documents == 4 and found.score == found.accuracy == right


def test_work_is_counted_a_window_at_a_time(classifier: Classifier, split: Split) -> None:
    found, config = of(classifier, split), classifier.model.config
    windows = [window for document in all_windows(classifier, split) for window in document]
    kept = []
    for window in windows:
        with torch.inference_mode():
            alive = classifier.forward([window], prune=True).alive
        kept.append([int(layer.sum()) for layer in alive])
    assert found.pieces == sum(map(len, windows))
    assert found.kept_pieces.tolist() == np.sum(kept, axis=0).tolist()
    assert found.flops_unpruned == sum(flops.dense(config, len(window)) for window in windows)
    assert found.flops_pruned == sum(flops.pruned(config, len(w), row) for w, row in zip(windows, kept, strict=True))
    assert found.flops_speedup > 1 and all(0 < share < 1 for share in found.kept)


def test_without_removal_nothing_is_saved(classifier: Classifier, split: Split, stock_checkpoint: Path) -> None:
    for model in (classifier, Classifier.load(stock_checkpoint, window_pieces=20)):
        found = of(model, split, prune=False)
        assert (found.flops_speedup, found.kept) == (1.0, [1.0, 1.0, 1.0])


def test_the_size_of_groups_changes_nothing(
    classifier: Classifier, split: Split, monkeypatch: pytest.MonkeyPatch
) -> None:
    together = of(classifier, split)
    unpruned = of(classifier, split, prune=False)
    monkeypatch.setattr(classifier, "budget", lambda: 1)
    for prune, expected in ((True, together), (False, unpruned)):
        alone = of(classifier, split, prune)
        np.testing.assert_allclose(alone.probabilities, expected.probabilities, atol=1e-6)
        assert alone.kept == expected.kept and alone.flops_pruned == expected.flops_pruned


@pytest.mark.parametrize("shards", [2, 3, 6])
def test_shards_make_the_whole(classifier: Classifier, split: Split, shards: int) -> None:
    whole = of(classifier, split)
    parts = [of(classifier, split, shard=(number, shards)) for number in range(shards)]
    merged = merge(parts[::-1])
    assert merged.places.tolist() == [0, 1, 2, 3] and merged.gold.tolist() == whole.gold.tolist()
    np.testing.assert_allclose(merged.probabilities, whole.probabilities, atol=1e-6)
    assert (merged.kept, merged.flops_speedup) == (whole.kept, whole.flops_speedup)
    with pytest.raises(ValueError, match="twice"):
        merge([*parts, parts[0]])
    with pytest.raises(ValueError, match="of different classes"):
        merge([replace(parts[0], metric="f1"), *parts[1:]])


def test_f1_is_of_the_data_sets_last_class_whatever_the_models_order(classifier: Classifier, split: Split) -> None:
    f1 = replace(split, info=replace(split.info, metric="f1", labels=("POS", "NEG")))
    found = of(classifier, f1)
    made, gold = np.array(found.predicted_labels), np.array([example.label for example in split.examples])
    both = ((made == "NEG") & (gold == "NEG")).sum()
    assert found.score == pytest.approx(2 * both / ((made == "NEG").sum() + (gold == "NEG").sum()))
    assert found.accuracy == of(classifier, split).accuracy


def test_a_higher_operating_point_keeps_fewer(classifier: Classifier, split: Split) -> None:
    assert of(classifier, split, operating_point=2.0).flops_pruned < of(classifier, split).flops_pruned


def test_other_classes_and_broken_weights_are_refused(classifier: Classifier, split: Split) -> None:
    with pytest.raises(UsageError, match="NEG, POS are not those of movies \\(a, b\\)"):
        of(classifier, replace(split, info=replace(split.info, labels=("a", "b"))))
    with torch.no_grad():
        classifier.model.classifier.bias.fill_(torch.nan)
    with pytest.raises(MissingError, match="no finite"):
        of(classifier, split)

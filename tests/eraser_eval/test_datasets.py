"""The bundled sample is what its README says; the release is found where it is looked for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from eraser_eval.datasets import bundled, find, limited, load
from eraser_eval.errors import MissingError, UsageError


def test_sample_is_what_its_readme_says() -> None:
    splits = {name: load("movies", name) for name in ("train", "val", "test")}
    assert {name: len(split.examples) for name, split in splits.items()} == {"train": 8, "val": 8, "test": 44}
    examples = [example for split in splits.values() for example in split.examples]
    assert sum(example.label == "POS" for example in examples) == 30
    lengths = [len(example.words) for example in examples]
    assert (min(lengths), max(lengths)) == (90, 1714)
    assert round(float(np.mean([example.gold_mask.mean() for example in examples])), 2) == 0.27
    assert all(example.gold_mask.any() for example in examples)
    assert any(not word.isascii() for example in examples for word in example.words)
    assert len({example.id for example in examples}) == 60


def test_sample_first_tenth_and_last() -> None:
    examples = load("movies", "test").examples
    assert [examples[i].id for i in (0, 9, -1)] == ["film_001.txt", "film_014.txt", "film_060.txt"]
    assert examples[0].words[:4] == ("my", "six", "-", "year")
    first = examples[0].evidence_spans[0]
    assert " ".join(examples[0].words[first.start : first.end]) == "again before the credits had ended"


def test_release(release: Path) -> None:
    counts = {"train": 1600, "val": 200, "test": 199}
    for name, count in counts.items():
        split = load("movies", name, release)
        assert split.source == "release" and len(split.examples) == count
    assert abs(float(np.mean([example.gold_mask.mean() for example in split.examples])) - 0.31) < 0.01


def test_hatexplain_release(release: Path) -> None:
    counts = {"train": 15383, "val": 1922, "test": 1924}
    for name, count in counts.items():
        split = load("hatexplain", name, release)
        assert len(split.examples) == count
    assert all(e.gold_mask.any() != (e.label == "normal") for e in split.examples)


def test_release_by_environment_and_sample_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert find("movies")[1:] == ("bundled sample", bundled("sample/movies"))
    (tmp_path / "eraser" / "movies").mkdir(parents=True)
    monkeypatch.setenv("ADAPLER_DATA", str(tmp_path))
    assert find("movies")[1:] == ("release", tmp_path / "eraser" / "movies")


def test_a_named_root_without_the_release_is_an_error_and_never_the_sample(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for root in (tmp_path, Path("")):
        with pytest.raises(MissingError, match="--data-root"):
            find("movies", root)
    monkeypatch.setenv("ADAPLER_DATA", str(tmp_path))
    assert find("movies")[1] == "bundled sample"


@pytest.mark.parametrize(("name", "split"), [("films", "test"), ("movies", "dev")])
def test_unknown_names(name: str, split: str) -> None:
    with pytest.raises(UsageError, match="choose from"):
        load(name, split)


def test_limited_takes_both_classes() -> None:
    split = load("movies", "test")
    some = limited(split, 6)
    assert len(some.examples) == 6 and len({example.label for example in some.examples}) == 2
    assert limited(split, 0) is split and limited(split, 99) is split

"""What is timed is what is said: schedules, the same logits, rows."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from adapler_explain.bench import VARIANTS, BenchConfig, bench, falling_factor, flops_speedup, models, random_inputs
from eraser_eval.errors import MissingError, UsageError

CONFIG = BenchConfig(shape="tiny", keep=4, batches=(1, 3), lengths=(16,), repeats=2)


def test_a_row_for_each_variant_batch_and_length() -> None:
    result = bench(CONFIG)
    rows = {(row["variant"], row["batch"], row["length"]): row for row in result["rows"]}
    assert rows.keys() == {(name, batch, 16) for name in VARIANTS for batch in (1, 3)}
    for row in rows.values():
        assert 0 < row["ms_low"] <= row["ms"] <= row["ms_high"]
        assert row["texts_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"])
        assert row["pieces_per_second"] == pytest.approx(16 * row["texts_per_second"])
    assert rows["stock-sdpa", 3, 16]["speedup"] == 1 and rows["stock-sdpa", 3, 16]["efficiency"] is None
    row = rows["adapler", 3, 16]
    assert row["efficiency"] == pytest.approx(row["speedup"] / row["flops_speedup"]) and row["flops_speedup"] > 1
    assert result["settings"]["keep"] == 4 and result["environment"]["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(("times", "layers"), [(1, 3), (2, 6), (10, 12)])
def test_the_schedule_keeps_the_share_it_should(times: float, layers: int) -> None:
    factor = falling_factor(times, layers)
    assert sum(factor ** (n + 1) for n in range(layers)) / layers == pytest.approx(1 / times)


def test_a_scheduled_model_does_as_many_times_fewer_flops() -> None:
    config = BenchConfig(shape="minilm", keep=4)
    model, _ = models(config)
    with torch.inference_mode():
        assert flops_speedup(model, random_inputs(model.config, 2, 256, config)) == pytest.approx(4, rel=0.25)


def test_every_variant_computes_the_models_logits(checkpoint: Path) -> None:
    config = replace(CONFIG, model=str(checkpoint), lengths=(20,))
    model, stock = models(config)
    inputs = random_inputs(model.config, 3, 20, config)
    with torch.inference_mode():
        pruned, dense = model(**inputs).logits, model(**inputs, prune=False).logits
        for name, variant in VARIANTS.items():
            output = variant.call(variant.prepared(model if variant.prunes else stock), inputs)
            logits = torch.cat([row.logits for row in output]) if isinstance(output, list) else output.logits
            expected = pruned if variant.prunes else dense
            # In half precision a piece near the threshold may fall or stay; the dense pass only rounds.
            if variant.dtype == "float32" or not variant.prunes:
                assert torch.allclose(logits.float(), expected, atol=1e-5 if variant.dtype == "float32" else 0.1), name


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"variants": ("magic",)}, UsageError, "--variants magic"),
        ({"shape": "round"}, UsageError, "--shape round"),
        ({"keep": 0.5}, UsageError, r"--keep 0\.5x"),
        ({"model": "absent"}, MissingError, "--model absent"),
        ({"lengths": (600,)}, UsageError, "at most 512"),
    ],
)
def test_what_is_refused(changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        bench(replace(CONFIG, **changes))

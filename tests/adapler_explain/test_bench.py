"""What is timed is what is said: schedules, the same logits, rows."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from families import CONFIGS, tiny

from adapler_explain import backbones, flops, linear
from adapler_explain.bench import BenchConfig, Facts, bench, measure, report, runs_of, runtimes, subjects
from adapler_explain.bench.runtimes import UnavailableError
from adapler_explain.bench.subjects import Size, size_of
from adapler_explain.bench.variants import VARIANTS
from adapler_explain.classifier import Classifier
from eraser_eval.errors import MissingError, UsageError

# Those that need no compiler and no other runtime.
QUICK = (
    "stock-eager",
    "stock-bf16",
    "half-depth",
    "unpruned",
    "adapler",
    "adapler-padded",
    "adapler-one-at-a-time",
    "adapler-bf16",
)
CONFIG = BenchConfig(shape="tiny", keep=(4.0, 2.0), sizes=("1x16", "3x2-16"), variants=QUICK, repeats=2, seconds=0)


@pytest.fixture(autouse=True)
def no_files_left() -> Iterator[None]:
    yield
    runtimes.clear_exported()


def test_a_row_for_each_variant_schedule_and_size() -> None:
    result = bench(CONFIG)
    rows = {(row["variant"], row["keep"], row["batch"], row["length"]): row for row in result["rows"]}
    schedules = {name: (4.0, 2.0) if VARIANTS[name].prunes else (None,) for name in ("stock-sdpa", *QUICK)}
    assert rows.keys() == {
        (name, keep, batch, length)
        for name, keeps in schedules.items()
        for keep in keeps
        for batch, length in ((1, 16), (3, "2-16"))
    }
    for row in rows.values():
        assert 0 < row["ms_low"] <= row["ms"] <= row["ms_high"] and row["rounds"] == 2
        assert row["p95"] is row["p99"] is None
        assert row["texts_per_second"] == pytest.approx(1000 * row["batch"] / row["ms"])
        assert row["pieces_per_second"] == pytest.approx(row["pieces"] * 1000 / row["ms"])
        assert row["peak_mb"] > 0 and sum(row["where"].values()) == pytest.approx(1, abs=0.01)
        assert (row["efficiency"] is None) == (row["keep"] is None)
    base = rows["stock-sdpa", None, 3, "2-16"]
    assert base["speedup"] == 1 and base["logit_change"] == 0
    row = rows["adapler", 4.0, 3, "2-16"]
    assert row["efficiency"] == pytest.approx(row["speedup"] / row["flops_speedup"])
    assert row["flops_speedup"] > rows["adapler", 2.0, 3, "2-16"]["flops_speedup"] > 1
    assert rows["half-depth", None, 1, 16]["flops_speedup"] is None
    for name in ("unpruned", "stock-eager", "adapler-padded"):
        assert rows[name, schedules[name][0], 3, "2-16"]["logit_change"] < 1e-5
    assert 0 < rows["stock-bf16", None, 1, 16]["logit_change"] < 0.1
    assert result["peak_gflops"]["float32"] > 0 and result["environment"]["threads"] == torch.get_num_threads()


@pytest.mark.parametrize(("times", "layers"), [(1, 3), (2, 6), (10, 12)])
def test_the_schedule_keeps_the_share_it_should(times: float, layers: int) -> None:
    factor = subjects.falling_factor(times, layers)
    assert sum(factor ** (n + 1) for n in range(layers)) / layers == pytest.approx(1 / times)


def test_a_scheduled_model_shares_its_weights_and_does_as_many_times_fewer_flops() -> None:
    model = subjects.random_model("minilm", 0)
    twin = subjects.scheduled(model, 4, 0)
    inputs = subjects.random_inputs(model, Size(2, 256, 256), 0)
    with torch.inference_mode():
        ratio = subjects.dense_flops(model.config, inputs) / subjects.pruned_flops(twin, inputs)
    assert ratio == pytest.approx(4, rel=0.25)
    shared = {weight.data_ptr() for weight in model.parameters()}
    assert {weight.data_ptr() for weight in twin.bert.parameters()} <= shared


def test_mixed_lengths() -> None:
    inputs = subjects.random_inputs(subjects.random_model("tiny", 0), Size(50, 3, 9), 0)
    lengths = subjects.lengths_of(inputs)
    assert min(lengths) == 3 and max(lengths) == 9 and len(set(lengths)) == 7
    assert inputs["input_ids"].shape == (50, 9) and (inputs["input_ids"] * (1 - inputs["attention_mask"]) == 0).all()


# Other runtimes, and torch's compiler, warn of their own future.
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", list(VARIANTS))
def test_every_variant_computes_the_models_logits(checkpoint: Path, name: str) -> None:
    variant = VARIANTS[name]
    model = Classifier.load(checkpoint).model
    stock = subjects.stock_of(model)
    try:
        call = variant.prepare(model if variant.prunes else stock)
    except UnavailableError as error:
        pytest.skip(str(error))
    inputs = subjects.random_inputs(model, Size(3, 4, 20), 0)
    with torch.inference_mode():
        try:
            logits = torch.as_tensor(call(inputs)).float()
        except UnavailableError as error:
            pytest.skip(str(error))
        expected = model(**inputs, prune=variant.prunes).logits
    assert logits.shape == expected.shape
    if variant.dtype is None and variant.same_model:
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)
    elif variant.same_model and not variant.prunes:
        torch.testing.assert_close(logits, expected, atol=0.2, rtol=0)
    # In lower precision a piece near the threshold may fall or stay, and half the layers are another model.


@pytest.mark.parametrize("name", ["stock-eager", "half-depth", "unpruned", "adapler", "adapler-padded", "adapler-int8"])
@pytest.mark.parametrize("family", CONFIGS)
def test_every_family_can_be_timed(family: str, name: str) -> None:
    model, variant = tiny(family), VARIANTS[name]
    stock = subjects.stock_of(model)
    assert not hasattr(stock, "adapler") and backbones.is_supported(stock)
    inputs = subjects.random_inputs(model, Size(3, 4, 20), 0)
    try:
        # As the bench does: what is copied in inference mode could not be prepared.
        with torch.no_grad():
            call = variant.prepare(model if variant.prunes else stock)
        with torch.inference_mode():
            logits = call(inputs)
            expected = model(**inputs, prune=variant.prunes).logits
    except UnavailableError as error:
        assert "norms come last" in str(error) or not linear.has_vnni()
        assert name == "adapler-int8" or (family, name) == ("modernbert", "adapler-padded")
        return
    if variant.dtype is None and variant.same_model:
        torch.testing.assert_close(logits, expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("shape", subjects.SHAPES)
def test_every_shape_can_be_made(shape: str) -> None:
    with torch.device("meta"):
        model = subjects.random_model(shape, 0)
    assert backbones.longest(model) >= 512


def ran(monkeypatch: pytest.MonkeyPatch, name: str, model: Any) -> list[Any]:
    """The models that a variant really calls."""
    seen: list[Any] = []
    usual = torch.nn.Module.__call__

    def watching(module: Any, *arguments: Any, **named: Any) -> Any:
        if hasattr(module, "bert"):
            seen.append(module)
        return usual(module, *arguments, **named)

    variant = VARIANTS[name]
    call = variant.prepare(model if variant.prunes else subjects.stock_of(model))
    monkeypatch.setattr(torch.nn.Module, "__call__", watching)
    with torch.inference_mode():
        call(subjects.random_inputs(model, Size(2, 4, 9), 0))
    return seen


def test_variants_are_what_they_say(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = Classifier.load(checkpoint).model
    (eager,) = ran(monkeypatch, "stock-eager", model)
    assert eager.config._attn_implementation == "eager"
    for name in ("stock-bf16", "adapler-bf16"):
        (half,) = ran(monkeypatch, name, model)
        assert half.dtype == torch.bfloat16
    (shallow,) = ran(monkeypatch, "half-depth", model)
    assert len(backbones.layers(shallow)) == 1 and len(backbones.layers(model)) == 3
    (own,) = ran(monkeypatch, "adapler", model)
    assert own is model and not own.quantized
    assert len(ran(monkeypatch, "adapler-one-at-a-time", model)) == 2
    if linear.has_vnni():
        (quick,) = ran(monkeypatch, "adapler-int8", model)
        assert quick.quantized and not model.quantized


def test_ratios_of_a_row_by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty rounds of 0.1 s, but one of 0.3: every figure follows."""
    model = subjects.random_model("tiny", 0)
    inputs = subjects.random_inputs(model, Size(2, 4, 8), 0)
    with torch.inference_mode():
        facts = Facts(model, inputs, 0.4, {"float32": 1e9})
        runs, _ = runs_of(model, replace(CONFIG, keep=(2.0,), variants=("adapler", "unpruned")))
        times = [0.1] * 19 + [0.3]
        stock, pruned, unpruned = (facts.row(run, "float32", lambda: None, run.call(inputs), times) for run in runs)
        kept = torch.stack([alive.sum(-1) for alive in runs[1].model(**inputs).alive]).T.tolist()
    config = model.config
    done = sum(flops.pruned(config, n, row) for n, row in zip((4, 8), kept, strict=True))
    dense = 2 * flops.dense(config, 8)
    assert stock["speedup"] == pytest.approx(4) and stock["share_of_peak"] == pytest.approx(dense / 0.1 / 1e9)
    assert pruned["flops_speedup"] == pytest.approx(dense / done)
    assert pruned["efficiency"] == pytest.approx(4 * done / dense)
    assert pruned["share_of_peak"] == pytest.approx(done / 0.1 / 1e9)
    own = flops.unpruned(config, 4) + flops.unpruned(config, 8)
    assert unpruned["flops_speedup"] == pytest.approx(dense / own) and unpruned["efficiency"] is None
    assert stock["p95"] == pytest.approx(110) and stock["p99"] is None and stock["pieces"] == 12


@pytest.mark.parametrize("times", [2, 10, 100, 1e5])
def test_more_removal_leaves_less(times: float) -> None:
    model = subjects.random_model("tiny", 0)
    inputs = subjects.random_inputs(model, Size(4, 2, 60), 0)
    with torch.inference_mode():
        more, less = (subjects.pruned_flops(subjects.scheduled(model, t, 0), inputs) for t in (times, times / 2))
    assert more <= less


def test_paths_are_checked_before_timing(tmp_path: Path) -> None:
    report.check_outputs(str(tmp_path / "new" / "a.json"), str(tmp_path / "b.pdf"))
    for output, figure in (("a.md", None), (None, "b.tar.gz"), (str(tmp_path), None), ("/proc/none/a.json", None)):
        with pytest.raises(UsageError, match=r"--json|--figure"):
            report.check_outputs(output, figure)


def test_a_variant_that_cannot_run_is_skipped_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def absent(package: str) -> None:
        raise ImportError(package)

    monkeypatch.setattr(runtimes.importlib, "import_module", absent)
    result = bench(replace(CONFIG, variants=("openvino", "stock-cuda-graphs"), sizes=("1x4",)))
    assert [row["variant"] for row in result["rows"]] == ["stock-sdpa"]
    reasons = {row["variant"]: row["reason"] for row in result["skipped"]}
    assert "pip install 'adapler-explain[bench]'" in reasons["openvino"]
    assert torch.cuda.is_available() or "GPU" in reasons["stock-cuda-graphs"]
    assert "Not timed: openvino" in report.markdown(result)


def test_a_checkpoint_on_real_text(checkpoint: Path, data_root: Path) -> None:
    config = replace(CONFIG, model=str(checkpoint), dataset="movies", data_root=str(data_root), sizes=("2", "7"))
    result = bench(replace(config, variants=("adapler",)))
    assert "movies test" in result["texts"]
    assert [row["batch"] for row in result["rows"]] == [2, 2, 7, 7] and result["rows"][1]["keep"] is None
    result = bench(replace(config, variants=("adapler", "adapler-bf16", "stock-bf16"), sizes=("1",), accuracy=True))
    assert [(row["variant"], row["compared_with"]) for row in result["accuracy"]] == [
        ("stock-sdpa", "stock-sdpa"),
        ("adapler", "adapler"),
        ("adapler-bf16", "adapler"),
        ("stock-bf16", "stock-sdpa"),
    ]
    for row in result["accuracy"]:
        assert row["documents"] == 4 and 0 <= row["accuracy"] <= 1 and 0 <= row["same_class"] <= 1
    assert result["accuracy"][0]["probability_change"] == 0 < result["accuracy"][3]["probability_change"] < 0.1
    assert "| AdapLeR, bfloat16 |" in report.markdown(result)
    with pytest.raises(UsageError, match="--sizes 99: the data has 9 windows"):
        bench(replace(config, sizes=("99",)))


def test_report(tmp_path: Path) -> None:
    result = bench(replace(CONFIG, variants=("adapler",)))
    report.write(result, str(tmp_path / "bench.json"), str(tmp_path / "bench.png"))
    assert json.loads((tmp_path / "bench.json").read_text())["rows"][0]["variant"] == "stock-sdpa"
    table = (tmp_path / "bench.md").read_text()
    assert "| AdapLeR, 4× |" in table and "| 3 × 2-16 |" in table and " ms |" in table
    assert (tmp_path / "bench.png").stat().st_size > 5000 and (tmp_path / "bench.pdf").exists()


def test_peak_and_profile() -> None:
    assert measure.peak_rate("float32", torch.device("cpu")) > 1e9
    big = torch.ones(500, 500)
    facts = measure.profiled(lambda: big @ big, torch.device("cpu"))
    assert facts["peak_mb"] == pytest.approx(1.0, abs=0.01)
    assert facts["where"]["matrix products"] > 0.1


@pytest.mark.parametrize(
    ("text", "size"), [("32x128", Size(32, 128, 128)), (" 16x8-512", Size(16, 8, 512)), ("4", Size(4))]
)
def test_sizes(text: str, size: Size) -> None:
    assert size_of(text) == size


@pytest.mark.parametrize("text", ["", "x", "0x4", "3x", "3x0", "3x9-8", "3x513", "3x4-600", "-1x4", "3x4x5"])
def test_sizes_that_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="--sizes"):
        size_of(text)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"variants": ("magic",)}, UsageError, "--variants magic"),
        ({"shape": "round"}, UsageError, "--shape round"),
        ({"dtype": "int4"}, UsageError, "--dtype int4"),
        ({"keep": (0.5,)}, UsageError, r"--keep 0\.5x"),
        ({"model": "absent"}, MissingError, "--model absent"),
        ({"dataset": "movies"}, UsageError, "needs --model"),
        ({"accuracy": True}, UsageError, "needs --dataset"),
        ({"sizes": ("3",)}, UsageError, "TEXTSxPIECES"),
        ({"sizes": ()}, UsageError, "TEXTSxPIECES"),
    ],
)
def test_what_is_refused(changes: dict, error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        bench(replace(CONFIG, **changes))


def test_runs_begin_with_the_stock_model() -> None:
    model = subjects.random_model("tiny", 0)
    runs, skipped = runs_of(model, replace(CONFIG, variants=("adapler", "stock-sdpa")))
    assert [run.variant for run in runs] == ["stock-sdpa", "adapler", "adapler"] and not skipped

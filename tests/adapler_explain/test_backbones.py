"""What holds for BERT holds for every architecture; each test runs on all of them, tiny and random."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from conftest import CLASSES, SHAPE
from families import CONFIGS, WORDS, batch_for, row, saved, tiny, trained
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    BertConfig,
    BertForSequenceClassification,
    MobileBertConfig,
    ModernBertForSequenceClassification,
)

import adapler_explain
from adapler_explain import AdaplerForSequenceClassification, backbones, packed_encoder, packed_layer
from adapler_explain.classifier import Classifier
from adapler_explain.explainers import EXPLAINERS
from adapler_explain.explainers.request import Asked, Request
from adapler_explain.loading import load_pretrained
from adapler_explain.modeling import MODELS, stock_class
from adapler_explain.saliency import embedding_gradients, entered
from eraser_eval.errors import MissingError, UsageError
from eraser_eval.records import Document, Example

LENGTHS = [20, 7, 1, 32, 12]
TOLERANCE = {"atol": 1e-5, "rtol": 0}
every_family = pytest.mark.parametrize("family", CONFIGS)


def loaded(path: Path) -> ModuleType:
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


example = loaded(Path(__file__).parents[2] / "examples" / "pipeline.py")


def stock_of(model: Any) -> Any:
    """The stock model with the weights of ``model``."""
    stock = stock_class(model)(model.config)
    stock.load_state_dict({k: v for k, v in model.state_dict().items() if not k.startswith("adapler.")})
    return stock.eval()


def test_every_architecture_has_a_model_and_a_tiny_one_here() -> None:
    assert set(MODELS) == set(CONFIGS) == set(backbones.BACKBONES)


# ---------------------------------------------------------------- nothing removed


@every_family
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_without_removal_the_logits_are_the_stock_models_to_the_bit(family: str, attention: str) -> None:
    model = tiny(family)
    stock, batch = stock_of(model), batch_for(model, LENGTHS)
    for one in (model, stock):
        one.set_attn_implementation(attention)
    assert torch.equal(model(**batch, prune=False).logits, stock(**batch).logits)
    assert torch.equal(model.train()(**batch).logits, stock.train()(**batch).logits)


@every_family
@pytest.mark.parametrize("gradients", [False, True])
def test_packed_with_nothing_to_remove_equals_the_stock_model(family: str, gradients: bool) -> None:
    model = tiny(family, eta=1e-30)
    stock, batch = stock_of(model), batch_for(model, LENGTHS)
    expected = stock(**batch).logits.detach()
    with torch.set_grad_enabled(gradients):
        output = model(**batch)
        assert torch.equal(output.alive[-1], batch["attention_mask"].bool())
        torch.testing.assert_close(output.logits, expected, **TOLERANCE)
        torch.testing.assert_close(packed_encoder.dense_logits(stock, **batch), expected, **TOLERANCE)


@pytest.mark.parametrize(("length", "local"), [(9, 2), (32, 6), (32, 7), (5, 16)])
def test_windows_of_modernbert_reach_as_far_as_the_stock_models(length: int, local: int) -> None:
    model = tiny("modernbert", eta=1e-30, local_attention=local)
    batch = batch_for(model, [length, length // 2])
    assert [backbones.reach(layer) for layer in backbones.layers(model)] == [None, local // 2] * 2
    for attention in ("sdpa", "eager"):
        model.set_attn_implementation(attention)
        stock = model(**batch, prune=False).logits
        with torch.inference_mode():
            torch.testing.assert_close(model(**batch).logits, stock, **TOLERANCE)


@pytest.mark.parametrize(
    "rope",
    [
        {"rope_type": "linear", "factor": 4.0},
        {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8},
        {"rope_type": "dynamic", "factor": 4.0},
    ],
)
def test_modernbert_turns_by_its_own_rule(rope: dict[str, Any]) -> None:
    each = {"sliding_attention": {"rope_theta": 100.0, **rope}, "full_attention": {"rope_theta": 500.0, **rope}}
    model = tiny("modernbert", eta=1e-30, rope_parameters=each)
    batch = batch_for(model, [20, 9])
    stock = model(**batch, prune=False).logits
    torch.testing.assert_close(model(**batch).logits, stock, **TOLERANCE)
    plain = tiny("modernbert", eta=1e-30)
    assert rope["rope_type"] == "dynamic" or not torch.allclose(plain(**batch).logits, stock, atol=1e-3)


# ---------------------------------------------------------------- removal


@every_family
@pytest.mark.parametrize("block", [1, 16, 4096])
def test_a_batch_gives_what_its_texts_give(family: str, block: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layer, "BLOCK_ROWS", block)
    model = tiny(family)
    batch, wide = batch_for(model, LENGTHS, width=32), batch_for(model, LENGTHS, width=32)
    narrow = {key: value[:2, :20] for key, value in batch.items()}
    with torch.inference_mode():
        together, padded = model(**narrow), model(**{key: value[:2] for key, value in wide.items()})
        whole = model(**batch)
        alone = [model(**row(batch, number, length)) for number, length in enumerate(LENGTHS)]
    torch.testing.assert_close(together.logits, padded.logits, **TOLERANCE)
    torch.testing.assert_close(whole.logits, torch.cat([one.logits for one in alone]), **TOLERANCE)
    for number, (length, one) in enumerate(zip(LENGTHS, alone, strict=True)):
        assert torch.equal(torch.stack(whole.alive)[:, number, :length], torch.stack(one.alive)[:, 0])
    processed = torch.stack(whole.alive).sum((1, 2)).tolist()
    assert sum(LENGTHS) > processed[0] > processed[-1] > len(LENGTHS)


@every_family
def test_a_piece_that_stays_keeps_its_place_and_type(family: str) -> None:
    """Pieces that fall before layer 0 are gaps: the stock model with those masked, all others in their columns."""
    model = tiny(family, eta=1e-30)
    with torch.no_grad():
        model.adapler.eta[0] = 0.7
    batch = batch_for(model, LENGTHS)
    output = model(**batch)
    alive = output.alive[0]
    gaps = alive.long().argmin(-1) < (alive * torch.arange(alive.shape[1])).amax(-1)
    assert gaps.sum() > 2 and torch.equal(output.alive[-1], alive)
    stock = stock_of(model)(**batch | {"attention_mask": alive.long()}).logits
    torch.testing.assert_close(output.logits, stock, **TOLERANCE)


@every_family
def test_gradients_are_those_of_one_text_at_a_time(family: str) -> None:
    model = tiny(family)
    batch = batch_for(model, LENGTHS)
    weights = [weight for name, weight in model.named_parameters() if not name.startswith("adapler.")]

    def gradients(inputs: dict[str, Tensor]) -> list[Tensor]:
        found = torch.autograd.grad(model(**inputs).logits[:, 0].sum(), weights, allow_unused=True)
        return [torch.zeros_like(w) if one is None else one for w, one in zip(weights, found, strict=True)]

    together = gradients(batch)
    alone = [gradients(row(batch, number, length)) for number, length in enumerate(LENGTHS)]
    for got, *ones in zip(together, *alone, strict=True):
        assert torch.isfinite(got).all()
        expected = torch.stack(ones).sum(0)
        scale = max(1.0, float(torch.stack(ones).abs().max()))
        torch.testing.assert_close(got, expected, atol=2e-5 * scale, rtol=0)
    assert sum(float(got.abs().sum()) > 0 for got in together) > 0.8 * len(together)


@every_family
def test_sharp_soft_removal_is_hard_removal(family: str) -> None:
    model = tiny(family)
    batch = batch_for(model, LENGTHS)
    with torch.no_grad():
        hard, soft = model(**batch), model.forward_soft(**batch, sharpness=1e20)
    torch.testing.assert_close(soft.logits, hard.logits, **TOLERANCE)
    torch.testing.assert_close(soft.lengths, torch.stack(hard.alive).sum(-1).float(), **TOLERANCE)
    model.train().forward_soft(**batch, sharpness=10.0).logits.sum().backward()
    assert model.adapler.eta.grad.abs().sum() > 0


@every_family
def test_gradients_of_embeddings_are_the_stock_models(family: str) -> None:
    """h⁰ is what enters layer 0: what the module that is called the embedding layer gives."""
    model = tiny(family)
    batch, target = batch_for(model, [20, 7]), torch.tensor([1, 0])
    embeddings, gradients = embedding_gradients(model, batch, target)
    kept: list[Tensor] = []
    hook = backbones.embedding_layer(model).register_forward_hook(lambda *call: kept.append(call[-1]))
    logits = model(**batch, prune=False).logits
    hook.remove()
    (expected,) = torch.autograd.grad(logits.gather(-1, target[:, None]).sum(), kept)
    mask = batch["attention_mask"][..., None]
    assert embeddings.shape[-1] == model.config.hidden_size
    torch.testing.assert_close(embeddings, kept[0] * mask, **TOLERANCE)
    torch.testing.assert_close(gradients, expected * mask, **TOLERANCE)


# ---------------------------------------------------------------- checkpoints


@every_family
def test_save_and_load(family: str, tmp_path: Path) -> None:
    model = tiny(family, operating_points={"fast": {"factor": 2.0}})
    model.save_pretrained(tmp_path)
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.model_type == f"adapler_{family}" and config.window_pieces == 20
    batch = batch_for(model, LENGTHS)
    for load in (AutoModelForSequenceClassification.from_pretrained, AdaplerForSequenceClassification.from_pretrained):
        again = load(tmp_path)
        assert type(again) is type(model) is MODELS[family] and not again.training
        assert torch.equal(model(**batch).logits, again(**batch).logits)
    model.half().save_pretrained(tmp_path / "half")
    again = AdaplerForSequenceClassification.from_pretrained(tmp_path / "half", dtype=torch.float16)
    assert again.dtype == torch.float16 and again(**batch).logits.dtype == torch.float16
    again = AdaplerForSequenceClassification.from_pretrained(tmp_path / "half", dtype="float32")
    assert again(**batch).logits.dtype == torch.float32


@every_family
def test_stock_checkpoints_load(family: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Classifiers whole, bare encoders but for the classifier, and nothing is said but what is new."""
    model = tiny(family)
    stock, batch = stock_of(model), batch_for(model, LENGTHS)
    stock.config = CONFIGS[family]()
    stock.save_pretrained(tmp_path / "stock")
    load = AdaplerForSequenceClassification.from_pretrained
    ours, info = load(tmp_path / "stock", output_loading_info=True, predictor_width=8)
    assert type(ours) is MODELS[family] and ours.config.predictor_width == 8
    assert info["missing_keys"] and all(name.startswith("adapler.") for name in info["missing_keys"])
    assert not info["unexpected_keys"] and "model of type" not in caplog.text
    assert torch.equal(ours.adapler.eta, torch.full((model.config.num_hidden_layers,), 0.25))
    assert all(torch.isfinite(weight).all() for weight in ours.parameters())
    assert torch.equal(ours(**batch, prune=False).logits, stock(**batch).logits)
    new = backbones.new_weights(family)
    for number, kind in enumerate((AutoModel, AutoModelForMaskedLM)):
        bare = kind.from_config(CONFIGS[family]())
        bare.save_pretrained(folder := tmp_path / f"bare{number}")
        trained(family).save_pretrained(folder)
        ours, _ = load_pretrained(folder, AdaplerForSequenceClassification, new, num_labels=3)
        encoder, given = ours.base_model.state_dict(), bare.base_model.state_dict()
        assert all(torch.equal(encoder[name], given[name]) for name in encoder.keys() & given.keys())
        assert all("pooler" in name for name in encoder.keys() ^ given.keys())
        assert ours(**batch).logits.shape == (len(LENGTHS), 3)


def test_other_checkpoints_are_refused(tmp_path: Path) -> None:
    sizes = SHAPE | {"embedding_size": 16}
    AutoModelForSequenceClassification.from_config(MobileBertConfig(**sizes)).save_pretrained(tmp_path)
    message = "model_type 'mobilebert' is not supported; give one of bert, roberta, distilbert, electra, modernbert"
    with pytest.raises(ValueError, match=message):
        AdaplerForSequenceClassification.from_pretrained(tmp_path)
    with pytest.raises(ValueError, match=message):
        AdaplerForSequenceClassification.from_config(MobileBertConfig(**sizes))
    trained("bert").save_pretrained(tmp_path)
    with pytest.raises(MissingError, match=message):
        load_pretrained(tmp_path, AdaplerForSequenceClassification)
    with pytest.raises(UsageError, match=message):
        Classifier.load(tmp_path)
    assert backbones.new_weights("mobilebert")[0] == "adapler."
    with pytest.raises(TypeError, match="from_pretrained"):
        AdaplerForSequenceClassification()


def test_encoders_without_a_cls_that_sees_all_are_refused() -> None:
    mean = CONFIGS["modernbert"](classifier_pooling="mean")
    with pytest.raises(ValueError, match=r"config\.classifier_pooling must be 'cls', not 'mean'"):
        AdaplerForSequenceClassification.from_config(mean)
    stock = ModernBertForSequenceClassification(mean)
    assert not backbones.is_supported(stock)
    with pytest.raises(UsageError, match="classifier_pooling"):
        Classifier(stock, trained("modernbert"), 20)
    with pytest.raises(TypeError, match="classifier_pooling"):
        packed_encoder.dense_logits(stock, torch.ones(1, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="is_decoder"):
        AdaplerForSequenceClassification.from_config(BertConfig(**SHAPE, is_decoder=True))
    with pytest.raises(TypeError, match="no model of transformers"):
        backbones.layers(torch.nn.Linear(1, 1))
    with pytest.raises(TypeError, match="Linear is no layer"):
        backbones.parts(torch.nn.Linear(1, 1))


def test_a_configuration_may_be_given(tmp_path: Path) -> None:
    BertForSequenceClassification(BertConfig(**SHAPE | CLASSES)).save_pretrained(tmp_path)
    config = BertConfig(**SHAPE | CLASSES | {"hidden_dropout_prob": 0.3})
    model = AdaplerForSequenceClassification.from_pretrained(tmp_path, config=config)
    assert model.config.hidden_dropout_prob == 0.3 and model.config.model_type == "adapler_bert"


def test_what_is_not_there_is_said() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Adapter'"):
        _ = adapler_explain.Adapter


@every_family
def test_dropout_can_be_set(family: str) -> None:
    options = backbones.dropout_options(f"adapler_{family}", 0.25, 0.5)
    model = AdaplerForSequenceClassification.from_config(CONFIGS[family](**options))
    assert {module.p for module in model.modules() if isinstance(module, torch.nn.Dropout)} == {0.25, 0.5}
    assert all(backbones.attention_dropout(layer) == 0.5 for layer in backbones.layers(model))


# ---------------------------------------------------------------- with a tokenizer


@every_family
def test_a_classifier_end_to_end(family: str, tmp_path: Path) -> None:
    classifier = Classifier.load(saved(tmp_path, family))
    words = WORDS * 3
    windows = classifier.windows(words)
    assert len(windows) > 1 and max(map(len, windows)) <= classifier.window_pieces == 20
    read = [index for window in windows for index in window.words if index >= 0]
    assert sorted(set(read)) == list(range(len(words)))
    batch = classifier.batch(windows)
    assert set(batch) - {"token_type_ids"} == {"input_ids", "attention_mask"}
    assert ("token_type_ids" in batch) == (backbones.segments(classifier.model) > 0)
    stock = classifier.model(**batch, prune=False).logits
    torch.testing.assert_close(classifier.logits(windows, prune=False), stock, **TOLERANCE)
    pruned = classifier.logits(windows, prune=True)
    assert pruned.shape == stock.shape and not torch.allclose(pruned, stock, atol=1e-3)
    pair = classifier.windows(words[:4], "kist lum")
    assert torch.isfinite(classifier.logits(pair, prune=True)).all()
    example = Example("a", (Document("a", (tuple(words),)),), "A")
    request = Request(classifier, [Asked(example, windows, 1, 0)])
    quick = [row for name, row in EXPLAINERS.items() if name not in ("lime", "kernel-shap", "shapley-sampling")]
    for explainer in quick:
        scores = explainer.explain(request)
        expected = [len(words)] if explainer.unit == "word" else [len(window) for window in windows]
        assert [len(row) for row in scores] == expected, explainer.title
        assert all((abs(row) < float("inf")).all() for row in scores), explainer.title


@every_family
def test_windows_are_as_long_as_the_encoder_takes(family: str) -> None:
    model = stock_of(tiny(family))
    classifier = Classifier(model, trained(family), None)
    assert classifier.window_pieces == 32
    windows = classifier.windows(WORDS * 6)
    assert max(map(len, windows)) > 26
    assert torch.isfinite(classifier.forward(windows).logits).all()
    with pytest.raises(UsageError, match="8 to 32 pieces, not 33"):
        Classifier(model, trained(family), 33)


@every_family
def test_types_follow_what_the_encoder_knows(family: str) -> None:
    model = tiny(family)
    expected = {"bert": 2, "electra": 2, "roberta": 1}.get(family, 0)
    assert backbones.segments(model) == expected
    batch = batch_for(model, [9, 5])
    given = torch.zeros_like(batch["input_ids"])
    with_zeros = model(**batch | {"token_type_ids": given}).logits
    batch.pop("token_type_ids", None)
    assert torch.equal(model(**batch).logits, with_zeros)
    packed = entered(model, batch)
    assert packed.hidden.shape == (14, model.config.hidden_size)


@every_family
def test_the_pipeline_example(
    family: str, tmp_path: Path, capfd: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    """In batches of more texts than layers too, and nothing is said of models that are not supported."""
    texts = [" ".join(WORDS[number % 12 :]) for number in range(40)]
    with caplog.at_level("WARNING", "transformers"):
        example.main(str(saved(tmp_path, family)), *texts)
    output = capfd.readouterr()
    assert not caplog.records and "not supported" not in output.err
    model, tokenizer = AdaplerForSequenceClassification.from_pretrained(tmp_path), trained(family)
    for text, line in zip(texts, output.out.splitlines(), strict=True):
        logits = model(**tokenizer(text, return_tensors="pt")).logits.detach().softmax(-1)[0]
        label, probability = line.split()[:2]
        assert model.config.id2label[int(logits.argmax())] == label
        assert float(probability) == pytest.approx(float(logits.max()), abs=6e-4)


@every_family
def test_what_was_removed_is_no_item_of_the_output(family: str) -> None:
    model = tiny(family)
    output = model(**batch_for(model, [9, 5]), labels=torch.tensor([0, 1]))
    assert list(output.keys()) == ["loss", "logits"] and output["loss"] > 0
    assert len(output.alive) == len(output.margins) == model.config.num_hidden_layers

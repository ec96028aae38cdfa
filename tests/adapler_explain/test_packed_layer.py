"""The parts of packed inference: linear maps, blocks of rows, attention on any device, when maps are made anew."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import pytest
import torch
from conftest import random_batch, tiny_model
from torch import Tensor, nn
from torch.nn.utils import prune as _prune  # noqa: F401  (nn.utils.prune)
from transformers import AutoModelForSequenceClassification

from adapler_explain import attention, linear, packed_encoder, packed_layer
from adapler_explain.attention import Rows
from adapler_explain.removal import Packed
from eraser_eval.datasets import bundled

VNNI = pytest.mark.skipif(not linear.has_vnni(), reason="int8 needs a CPU with VNNI")
LENGTHS = [3, 1, 7, 3, 200, 1]


def reference(query: Tensor, key: Tensor, value: Tensor, queries: list[int], lengths: list[int]) -> Tensor:
    """Attention written out, text by text and head by head."""
    texts = []
    for q, k, v in zip(query.split(queries), key.split(lengths), value.split(lengths), strict=True):
        scores = torch.einsum("qhd,khd->hqk", q, k) / q.shape[-1] ** 0.5
        texts.append(torch.einsum("hqk,khd->qhd", scores.softmax(-1), v))
    return torch.cat(texts)


def triple(queries: list[int], lengths: list[int], seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Query, key and value as the layers give them: views of one projection."""
    wide = torch.randn(sum(lengths), 3 * 16, generator=torch.Generator().manual_seed(seed))
    query, key, value = (part.unflatten(-1, (2, 8)) for part in wide.split(16, -1))
    return query[: sum(queries)], key, value


@pytest.mark.parametrize("lengths", [LENGTHS, [5, 5, 5], [1, 1], [300, 300], [4]])
@pytest.mark.parametrize("last", [False, True])
def test_attention_of_each_kind_of_device(lengths: list[int], last: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """The GPU's index arithmetic runs here too: nested tensors do, the kernel has a stand-in with its contract."""
    queries = [1] * len(lengths) if last else lengths
    tensors = triple(queries, lengths)
    expected = reference(*tensors, queries, lengths)
    keys = Rows(torch.tensor(lengths), max(lengths))
    rows = Rows(torch.tensor(queries), 1) if last else keys

    def kernel(q: Tensor, k: Tensor, v: Tensor, first_q: Tensor, first_k: Tensor, most_q: int, most_k: int) -> Tensor:
        assert first_q.dtype == first_k.dtype == torch.int32
        assert most_q >= max(queries) and most_k >= max(lengths)
        assert first_q[-1] == len(q) and first_k[-1] == len(k)
        return reference(q, k, v, first_q.diff().tolist(), first_k.diff().tolist())

    monkeypatch.setattr(attention, "_kernel", lambda: kernel)
    torch.testing.assert_close(attention.packed_attention(*tensors, rows, keys), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(attention.variable_length(*tensors, rows, keys), expected, atol=1e-5, rtol=0)
    with warnings.catch_warnings():
        # Nested tensors are used on GPUs only; their CPU prototype warns.
        warnings.simplefilter("ignore")
        torch.testing.assert_close(attention.nested(*tensors, rows, keys), expected, atol=1e-5, rtol=0)


def test_offsets() -> None:
    assert attention.offsets(torch.tensor([3, 1, 4])).tolist() == [0, 3, 4, 8]


@pytest.mark.parametrize("size", [1, 4, 10, 11, 100, 1000])
def test_blocks_hold_every_text_once(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed_layer, "BLOCK_ROWS", size)
    lengths = torch.tensor(LENGTHS)
    text = torch.repeat_interleave(torch.arange(len(lengths)), lengths)
    position = torch.cat([torch.arange(length) for length in LENGTHS])
    packed = Packed(torch.arange(len(text))[:, None], text, position, lengths, 200)
    found = list(packed_layer.blocks(packed))
    assert torch.equal(torch.cat([block.hidden for block in found]), packed.hidden)
    assert torch.equal(torch.cat([block.lengths for block in found]), lengths)
    for block in found:
        assert torch.equal(block.text, torch.repeat_interleave(torch.arange(len(block.lengths)), block.lengths))
        assert torch.equal(block.position[block.cls_rows], torch.zeros(len(block.lengths), dtype=torch.long))
        assert len(block.hidden) <= size + max(LENGTHS)
    if size == 1:
        assert len(found) == len(LENGTHS)


def maps() -> tuple[list[nn.Linear], Tensor, Tensor]:
    torch.manual_seed(0)
    linears = [nn.Linear(40, 24), nn.Linear(40, 8)]
    rows = torch.randn(17, 40)
    rows[3] *= 1000
    rows[4] = 0
    return linears, rows, torch.cat([map_(rows) for map_ in linears], -1).detach()


@pytest.mark.parametrize("kind", [linear.Linear, linear.Prepacked])
def test_float_maps(kind: type[linear.Linear]) -> None:
    """Off by two roundings of a sum of magnitudes at most, whatever the order of summation."""
    linears, rows, _ = maps()
    ready = kind(linears)
    weight, bias = (part.double() for part in linear.joined(linears))
    exact = rows.double() @ weight.T + bias
    rounding = 2 * torch.finfo(torch.float32).eps * (rows.double().abs() @ weight.abs().T + bias.abs() + 1)
    with torch.inference_mode():
        for got, expected in (
            (ready(rows), exact),
            (ready.gelu(rows), nn.functional.gelu(exact)),
            (ready.plus(rows, torch.ones_like(exact, dtype=torch.float32)), exact + 1),
        ):
            assert got.dtype == torch.float32 and ((got - expected).abs() <= rounding).all()


@VNNI
def test_int8_maps_err_by_half_a_step_at_most_and_row_by_row() -> None:
    """Each weight is off by half of 1/127 of its output's largest, each entry by half of 1/127 of its row's largest."""
    linears, rows, expected = maps()
    ready = linear.Int8(linears)
    weight, _ = linear.joined(linears)
    row_step = rows.abs().amax(1, keepdim=True) / 254
    weight_step = weight.abs().amax(1) / 254
    bound = row_step * weight.abs().sum(1) + rows.abs().sum(1, keepdim=True) * weight_step + 40 * row_step * weight_step
    with torch.inference_mode():
        got = ready(rows)
        assert ((got - expected).abs() <= 1.01 * bound + 1e-5).all()
        assert (got - expected).abs().max() > 1e-3
        torch.testing.assert_close(torch.cat([ready(row[None]) for row in rows]), got)
        torch.testing.assert_close(ready.gelu(rows), nn.functional.gelu(got))
        torch.testing.assert_close(ready.plus(rows, torch.ones_like(got)), got + 1)


@VNNI
@pytest.mark.parametrize("prune", [False, True])
def test_int8_inference_does_not_depend_on_the_batch(prune: bool) -> None:
    """Of the bundled model, whose rows are wide enough for a rounding to move one of their bytes."""
    model = AutoModelForSequenceClassification.from_pretrained(bundled("models/adapler-movies"), dtype=torch.float32)
    batch, lengths = random_batch([20, 20, 9, 1, 32, 9], width=32), [20, 20, 9, 1, 32, 9]

    def logits(inputs: dict[str, Tensor]) -> Tensor:
        return model(**inputs).logits if prune else packed_encoder.dense_logits(model, **inputs)

    with torch.inference_mode():
        exact = logits(batch)
        model.quantized = True
        together = logits(batch)
        alone = [
            logits({key: value[row : row + 1, :length] for key, value in batch.items()})
            for row, length in enumerate(lengths)
        ]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-5, rtol=0)
    assert 1e-4 < (together - exact).abs().max() < 1


def test_int8_is_refused_with_gradients_and_off_float32() -> None:
    model, batch = tiny_model(), random_batch([5])
    model.quantized = True
    assert model(**batch, prune=False).logits.requires_grad
    with pytest.raises(ValueError, match="inference_mode"):
        model(**batch)
    model.bfloat16()
    with torch.inference_mode(), pytest.raises(ValueError, match="float32"):
        model(**batch)


def changed_in_place(model: Any) -> None:
    with torch.no_grad():
        model.bert.encoder.layer[1].intermediate.dense.weight.mul_(0.5)


def changed_in_inference_mode(model: Any) -> None:
    with torch.inference_mode():
        model.bert.encoder.layer[1].intermediate.dense.weight.mul_(0.5)


def loaded(model: Any) -> None:
    model.load_state_dict(tiny_model(7, eta=1e-9).state_dict())


def replaced(model: Any) -> None:
    model.bert.encoder.layer[1].output.dense.weight = nn.Parameter(torch.ones(16, 24))


def changed_behind_its_back(model: Any) -> None:
    model.bert.encoder.layer[1].intermediate.dense.weight.data.mul_(0.5)
    model.train().eval()


def stepped_by_a_fused_optimizer(model: Any) -> None:
    """Its kernel changes the weights without counting."""
    model(**random_batch([12, 5])).logits.sum().backward()
    torch.optim.AdamW(model.parameters(), lr=0.1, fused=True).step()


def replaced_at_the_same_place(model: Any) -> None:
    dense = model.bert.encoder.layer[1].output.dense
    for _ in range(20):
        dense.weight = None
        dense.weight = nn.Parameter(torch.randn(16, 24))
        with torch.inference_mode():
            model(**random_batch([12, 5]))
        assert packed_layer._made[model.bert.encoder.layer[1]][0].weights[10][0]() is dense.weight


CHANGES = (
    changed_in_place,
    changed_in_inference_mode,
    loaded,
    replaced,
    replaced_at_the_same_place,
    changed_behind_its_back,
    stepped_by_a_fused_optimizer,
)


@pytest.mark.parametrize("change", CHANGES)
def test_maps_are_made_anew_when_weights_change(change: Any) -> None:
    model, batch = tiny_model(eta=1e-9), random_batch([12, 5])
    with torch.inference_mode():
        before = model(**batch).logits
        assert torch.equal(model(**batch).logits, before)
    change(model)
    with torch.inference_mode():
        after = model(**batch).logits
    assert not torch.allclose(before, after)
    stock = model(**batch, prune=False).logits.detach()
    torch.testing.assert_close(after, stock, atol=5e-6 * max(1.0, float(stock.abs().max())), rtol=0)


class Doubled(nn.Module):
    """A wrapper that looks like what it wraps, as adapters do."""

    def __init__(self, inner: nn.Linear) -> None:
        super().__init__()
        self.inner, self.weight, self.bias = inner, inner.weight, inner.bias
        self.out_features = inner.out_features

    def forward(self, rows: Tensor) -> Tensor:
        return 2 * self.inner(rows)


def wrapped(layer: Any) -> None:
    layer.attention.self.query = Doubled(layer.attention.self.query)


def hooked(layer: Any) -> None:
    layer.output.dense.register_forward_hook(lambda module, arguments, output: 2 * output)


def pruned_weights(layer: Any) -> None:
    nn.utils.prune.l1_unstructured(layer.intermediate.dense, "weight", 0.5)


def without_bias(layer: Any) -> None:
    layer.attention.self.key.bias = None


@pytest.mark.parametrize("change", [wrapped, hooked, pruned_weights, without_bias])
def test_a_layer_that_is_not_plain_runs_as_it_stands(change: Any) -> None:
    model, batch = tiny_model(eta=1e-9), random_batch([12, 5])
    with torch.inference_mode():
        model(**batch)
    change(model.bert.encoder.layer[1])
    with torch.inference_mode():
        torch.testing.assert_close(model(**batch).logits, model(**batch, prune=False).logits, atol=1e-5, rtol=0)
        with pytest.raises(ValueError, match="plain layers"):
            packed_layer.run(model.bert.encoder.layer[1], packed_encoder.enter(model, **batch), quantized=True)


def test_a_model_made_in_inference_mode_is_never_stale() -> None:
    batch = random_batch([12, 5])
    with torch.inference_mode():
        model = tiny_model(eta=1e-9)
        model(**batch)
        model.load_state_dict(tiny_model(7, eta=1e-9).state_dict())
        torch.testing.assert_close(model(**batch).logits, model(**batch, prune=False).logits, atol=1e-5, rtol=0)


def test_dropout_that_is_switched_on_drops() -> None:
    model, batch = tiny_model(eta=1e-9, hidden_dropout_prob=0.5), random_batch([12, 5])
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.train()
    with torch.inference_mode():
        assert not torch.allclose(model(**batch).logits, model(**batch).logits)


def test_maps_are_made_once_and_are_no_part_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    kind = packed_layer.Prepared

    def counting(*arguments: Any) -> packed_layer.Prepared:
        made.append(arguments)
        return kind(*arguments)

    monkeypatch.setattr(packed_layer, "Prepared", counting)
    model, batch = tiny_model(), random_batch([12, 5])
    names = list(model.state_dict())
    with torch.inference_mode():
        model(**batch)
        model(**batch)
    assert len(made) == model.config.num_hidden_layers
    assert list(model.state_dict()) == names
    twin = copy.deepcopy(model)
    changed_in_place(twin)
    with torch.inference_mode():
        assert not torch.allclose(model(**batch).logits, twin(**batch).logits)
    gone = len(packed_layer._made)
    del twin, model
    assert len(packed_layer._made) < gone


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision(dtype: torch.dtype) -> None:
    model, batch = tiny_model(eta=1e-9), random_batch([20, 9, 1, 13])
    exact = model(**batch).logits.detach()
    with torch.inference_mode():
        got = model.to(dtype)(**batch).logits
    assert got.dtype == dtype
    torch.testing.assert_close(got.float(), exact, atol=0.1, rtol=0.1)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_on_gpu(dtype: torch.dtype) -> None:
    """The same as on CPU, and the host waits once at the door, once for its check, and once a layer."""
    model, batch = tiny_model(eta=1e-9, hidden_size=64, num_attention_heads=2), random_batch([20, 9, 1, 13])
    exact = model(**batch).logits.detach()
    model, batch = model.to("cuda", dtype), {key: value.cuda() for key, value in batch.items()}
    with torch.inference_mode():
        got = model(**batch).logits
        tolerance = 1e-4 if dtype == torch.float32 else 0.1
        torch.testing.assert_close(got.float().cpu(), exact, atol=tolerance, rtol=tolerance)
        torch.cuda.set_sync_debug_mode("warn")
        try:
            with warnings.catch_warnings(record=True) as waits:
                warnings.simplefilter("always")
                model(**batch)
        finally:
            torch.cuda.set_sync_debug_mode("default")
    assert sum("synchronizing" in str(wait.message) for wait in waits) <= 2 + model.config.num_hidden_layers


def test_a_digest_sees_what_changes_and_where() -> None:
    weight = torch.arange(12.0).reshape(3, 4)
    before = packed_layer.digest([weight])
    assert packed_layer.digest([weight.clone()]) == before
    for changed in (weight * 1.01, weight[[1, 0, 2]], weight.flip(0, 1), -weight):
        assert packed_layer.digest([changed]) != before

"""Layers that are one pass over memory: which they are, and that they compute what they replace."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers as hf
from peft import PeftModel
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers.models.llama.modeling_llama import LlamaRMSNorm, apply_rotary_pos_emb

from tests.learning.architectures import _DECODER, MAKERS, VOCABULARY, base, samples
from wirelessfl.learning import fast_layers
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.base import Base
from wirelessfl.learning.evaluation import metrics
from wirelessfl.learning.fast_layers import FastLayers
from wirelessfl.learning.layout import layout_of
from wirelessfl.scenario.lora import LoraConfig

IDS = {"pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "use_cache": False}


def draw(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(sum(shape)))


def same_with_gradients(
    one: Callable[..., Any], other: Callable[..., Any], *inputs: Tensor
) -> None:
    """Both give the same, and the same gradients for weights that are drawn."""
    found = []
    for function in (one, other):
        own = [x.clone().requires_grad_() for x in inputs]
        ys = function(*own)
        ys = ys if isinstance(ys, tuple) else (ys,)
        total = sum((y * draw(*y.shape)).sum() for y in ys)
        found.append([*(y.detach() for y in ys), *torch.autograd.grad(total, own)])
    for a, b in zip(*found, strict=True):
        assert a.shape == b.shape
        torch.testing.assert_close(a, b, rtol=1e-5, atol=2e-6)


@pytest.mark.parametrize("shape", [(1, 1, 1), (2, 3, 7), (5, 64), (3, 2, 4, 130)])
def test_a_norm_divides_by_the_root_of_the_mean_square(shape: tuple[int, ...]):
    norm = LlamaRMSNorm(shape[-1], eps=0.1).requires_grad_(False)
    norm.weight.copy_(draw(shape[-1]))
    fast = fast_layers._norm(norm)
    assert fast is not None
    same_with_gradients(norm, fast, draw(*shape))
    tokens_last = draw(*shape).transpose(0, 1).contiguous().transpose(0, 1)
    same_with_gradients(norm, fast, tokens_last)


@pytest.mark.parametrize("samples_of_angles", [1, 3])
@pytest.mark.parametrize("width", [2, 8, 34])
def test_rotation_turns_the_halves_of_every_head(width: int, samples_of_angles: int):
    q, k = draw(3, 4, 5, width), draw(3, 2, 5, width)
    angles = draw(samples_of_angles, 5, width), draw(samples_of_angles, 5, width)
    fast = fast_layers._rotated

    def apart(q: Tensor, k: Tensor) -> Any:
        """As a model has them: tokens before heads, both cut out of wider rows."""
        both = torch.cat([x.transpose(1, 2).flatten(2) for x in (q, k)], 2)
        cut = both.split([4 * width, 2 * width], 2)
        q, k = (x.unflatten(2, (-1, width)).transpose(1, 2) for x in cut)
        return fast(apply_rotary_pos_emb, q, k, *angles)

    def plain(q: Tensor, k: Tensor) -> Any:
        return apply_rotary_pos_emb(q, k, *angles)

    same_with_gradients(plain, apart, q, k)
    same_with_gradients(plain, lambda q, k: fast(apply_rotary_pos_emb, q, k, *angles), q, k)


def own(*arguments: Any, **options: Any) -> Any:
    """What a model would compute itself."""
    return "the model's", len(arguments), options


def test_what_rotation_does_not_know_is_left_to_the_model():
    q, angle = draw(2, 2, 5, 8), draw(2, 5, 8)
    calls = [
        ((q, q, angle, angle), {"unsqueeze_dim": 2}),
        ((q, q, angle, angle, None), {}),
        ((q,), {"cos": angle, "sin": angle, "unsqueeze_dim": 2}),
        ((q, q, angle[..., :4], angle[..., :4]), {}),
        ((q, q, angle[:, :1], angle[:, :1]), {}),
        ((q, q, angle[0], angle[0]), {}),
        ((q[:1], q[:1], angle, angle), {}),
        ((q.transpose(1, 2), q.transpose(1, 2), angle, angle), {}),
        ((q[0], q[0], angle, angle), {}),
        ((q.double(), q.double(), angle, angle), {}),
    ]
    for arguments, options in calls:
        found = fast_layers._rotated(own, *arguments, **options)
        assert found == ("the model's", len(arguments), options)


@pytest.mark.parametrize(
    ("arguments", "options"),
    [
        ((draw(2, 6), draw(2, 6)), {}),
        ((draw(2, 6),), {"gate": None}),
        ((draw(2, 6).half(),), {}),
        ((draw(2, 6).double(),), {}),
        ((), {"hidden_states": draw(2, 6)}),
        ((None,), {}),
    ],
)
def test_what_norms_and_gates_do_not_know_is_left_to_the_model(
    arguments: tuple[Any, ...], options: dict[str, Any]
):
    expected = ("the model's", len(arguments), options)
    layers = [torch.nn.Linear(6, 6) for _ in range(3)]
    assert fast_layers._normed(own, torch.ones(6), 1e-6, *arguments, **options) == expected
    assert fast_layers._through_gate(own, *layers, *arguments, **options) == expected


@pytest.mark.parametrize("shape", [(1, 1), (4, 7), (2, 3, 40), (0, 5)])
def test_a_gate_opens_by_its_sigmoid(shape: tuple[int, ...]):
    def fast(gate: Tensor, up: Tensor) -> Any:
        return fast_layers._Gated.apply(gate, up)

    def apart(gate: Tensor, up: Tensor) -> Any:
        wide = torch.cat([gate, up, gate], -1)
        gate, up, _ = torch.unsafe_split_with_sizes(wide, [shape[-1]] * 3, -1)
        return fast(gate, up)

    def plain(gate: Tensor, up: Tensor) -> Tensor:
        return F.silu(gate) * up

    same_with_gradients(plain, fast, draw(*shape), 2 * draw(*shape))
    same_with_gradients(plain, apart, draw(*shape), 2 * draw(*shape))


def test_numbers_that_are_not_finite_stay_in_their_row():
    norm = fast_layers._norm(LlamaRMSNorm(6).requires_grad_(False))
    assert norm is not None
    angles = draw(1, 5, 6), draw(1, 5, 6)
    for bad in (torch.nan, torch.inf):
        x = draw(5, 6)
        x[2, 3] = bad
        x.requires_grad_()
        heads = x[None, None]
        [turned, _] = fast_layers._rotated(apply_rotary_pos_emb, heads, heads, *angles)
        for y in (norm(x), fast_layers._Gated.apply(x, x), turned[0, 0]):
            assert y.isfinite().all(1).tolist() == [True, True, False, True, True]
        [gradient] = torch.autograd.grad(norm(x).sum(), [x])
        assert gradient.isfinite().all(1).tolist() == [True, True, False, True, True]


def model_of(make: Callable[[], hf.PreTrainedModel]) -> PeftModel:
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain = make().eval()
    return add_adapter(Base(plain, ()), LoraConfig(rank=2), seed=3)


def gemma() -> hf.PreTrainedModel:
    """Its norms add one to their weights, and its gates open by GELU."""
    return hf.GemmaForCausalLM(hf.GemmaConfig(**_DECODER, head_dim=8))


def qwen3() -> hf.PreTrainedModel:
    """It normalises queries and keys too."""
    return hf.Qwen3ForCausalLM(hf.Qwen3Config(**_DECODER, head_dim=8))


def cohere() -> hf.PreTrainedModel:
    """It rotates neighbours, not halves, and has no RMS norm."""
    return hf.CohereForCausalLM(hf.CohereConfig(**_DECODER))


def stablelm() -> hf.PreTrainedModel:
    """It rotates a part of each head, and has layer norms."""
    return hf.StableLmForCausalLM(hf.StableLmConfig(**_DECODER))


def mamba2() -> hf.PreTrainedModel:
    """Its norms inside are given a gate, too."""
    return hf.Mamba2ForCausalLM(
        hf.Mamba2Config(
            vocab_size=VOCABULARY,
            hidden_size=16,
            num_hidden_layers=2,
            state_size=4,
            expand=2,
            num_heads=4,
            head_dim=8,
            n_groups=1,
            chunk_size=4,
            use_cache=False,
        )
    )


def bloom() -> hf.PreTrainedModel:
    return hf.BloomForCausalLM(
        hf.BloomConfig(vocab_size=VOCABULARY, hidden_size=16, n_layer=2, n_head=2, **IDS)
    )


@pytest.mark.parametrize(
    ("make", "norms", "gates", "rotates"),
    [
        (MAKERS["llama"][0], 5, 2, True),
        (MAKERS["qwen2"][0], 5, 2, True),
        (gemma, 5, 0, True),
        (qwen3, 9, 2, True),
        (cohere, 0, 2, False),
        (stablelm, 0, 2, True),
        (bloom, 0, 0, False),
        (MAKERS["bert"][0], 0, 0, False),
        (MAKERS["vit"][0], 0, 0, False),
    ],
)
def test_layers_are_taken_that_give_the_same(
    make: Callable[[], hf.PreTrainedModel], norms: int, gates: int, rotates: bool
):
    model = model_of(make)
    fast = FastLayers(model)
    taken = [hasattr(layer, "gate_proj") for layer, _ in fast._layers]
    assert (taken.count(False), taken.count(True)) == (norms, gates)
    assert len(fast._rotations) == rotates


@pytest.mark.parametrize("make", [MAKERS["llama"][0], MAKERS["qwen2"][0], gemma, qwen3, stablelm])
def test_a_model_gives_the_same_with_them_and_is_left_as_it_was(
    make: Callable[[], hf.PreTrainedModel],
):
    model, data = model_of(make), samples("llama", 12)
    layout = layout_of(model)
    layout.write(model, 0.1 * draw(layout.size).numpy())
    file = sys.modules[type(model.get_base_model()).__module__]
    before = [dict(vars(module)) for module in model.modules()], dict(vars(file))
    fast = FastLayers(model)

    def logits_and_gradients() -> list[Tensor]:
        logits = model(**data.inputs).logits
        trained = [p for p in model.parameters() if p.requires_grad]
        return [
            logits.detach(),
            *torch.autograd.grad((logits * draw(*logits.shape)).sum(), trained),
        ]

    expected = logits_and_gradients()
    with fast.applied():
        found = logits_and_gradients()
        assert [dict(vars(module)) for module in model.modules()] != before[0]
    for a, b in zip(found, expected, strict=True):
        assert (a - b).abs().max() <= 5e-5 * b.abs().max() + 1e-7
    assert ([dict(vars(module)) for module in model.modules()], dict(vars(file))) == before


def test_norms_with_a_gate_compute_as_they_did():
    with torch.random.fork_rng():
        torch.manual_seed(5)
        plain = mamba2().eval().requires_grad_(False)
    tokens = samples("llama", 3).inputs["input_ids"]
    fast = FastLayers(add_adapter(Base(plain, ()), LoraConfig(rank=2, targets=("in_proj",)), 3))
    assert any("Gated" in type(layer).__name__ for layer, _ in fast._layers)
    expected = plain(input_ids=tokens).logits
    with fast.applied():
        found = plain(input_ids=tokens).logits
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-6)


def test_what_others_had_put_on_a_layer_is_there_again():
    model = model_of(MAKERS["llama"][0])
    fast = FastLayers(model)
    layer, _ = fast._layers[0]
    vars(layer)["forward"] = own
    with fast.applied():
        assert vars(layer)["forward"] is not own
    assert vars(layer)["forward"] is own


def test_an_error_within_leaves_the_model_as_it_was():
    model = model_of(MAKERS["llama"][0])
    fast = FastLayers(model)
    file = sys.modules["transformers.models.llama.modeling_llama"]
    before = [dict(vars(module)) for module in model.modules()], file.apply_rotary_pos_emb
    with pytest.raises(ZeroDivisionError), fast.applied():
        assert file.apply_rotary_pos_emb is not before[1]
        _ = 1 / 0
    assert ([dict(vars(m)) for m in model.modules()], file.apply_rotary_pos_emb) == before


def test_trained_norms_and_weights_of_half_precision_stay_as_they_are():
    model = add_adapter(base("llama"), LoraConfig(rank=2, trained=("input_layernorm",)), seed=3)
    trained = {
        m for m in model.modules() if any(p.requires_grad for p in m.parameters(recurse=False))
    }
    taken = {layer for layer, _ in FastLayers(model)._layers}
    assert trained and not trained & taken
    assert {p for p in model.parameters() if p.requires_grad} == {
        p for m in trained for p in m.parameters(recurse=False)
    }
    half = model_of(MAKERS["llama"][0]).bfloat16()
    assert FastLayers(half)._layers == []


def test_the_trial_does_not_depend_on_what_the_adapter_holds():
    model = model_of(MAKERS["llama"][0])
    layout = layout_of(model)
    layout.write(model, draw(layout.size).numpy() * float("nan"))
    assert len(FastLayers(model)._layers) == 7


def test_evaluation_measures_the_same():
    model, data = model_of(MAKERS["llama"][0]), samples("llama", 40)
    plain, fast = (
        metrics(model, data, torch.enable_grad, fast=f) for f in (None, FastLayers(model))
    )
    assert fast == pytest.approx(plain, rel=1e-5)


def test_the_sigmoid_of_a_gate_is_right_to_float32():
    gate = torch.linspace(-80, 80, 100_001)[None].requires_grad_()
    y = fast_layers._Gated.apply(gate, torch.ones_like(gate))
    expected = gate.double() * torch.sigmoid(gate.double())
    torch.testing.assert_close(y.double(), expected, rtol=5e-7, atol=0)
    far = torch.tensor([[-1e4, 1e4]])
    assert fast_layers._Gated.apply(far, torch.ones_like(far)).tolist() == [[pytest.approx(0), 1e4]]

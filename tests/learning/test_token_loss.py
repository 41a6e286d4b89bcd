from __future__ import annotations

import pytest
import torch
import transformers as hf
from torch import nn

from tests.learning.architectures import MAKERS, VOCABULARY, base, samples
from wirelessfl.learning import token_loss
from wirelessfl.learning.adapter import add_adapter
from wirelessfl.learning.base import Base
from wirelessfl.learning.task import IGNORED, sample_losses
from wirelessfl.learning.token_loss import losses_of, token_losses, vocabulary_head
from wirelessfl.scenario.lora import LoraConfig

LORA = LoraConfig(rank=2, alpha=4)


@pytest.mark.parametrize("size", [1, 37, 1 << 18])
@pytest.mark.parametrize("biased", [True, False])
def test_losses_and_gradients_are_those_of_the_whole_logits(
    size: int, biased: bool, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(token_loss, "_CHUNK", size)
    torch.manual_seed(0)
    head = nn.Linear(6, 11, bias=biased).requires_grad_(False)
    labels = torch.randint(11, (5, 8))
    labels[0, 3:] = IGNORED
    labels[2] = IGNORED  # a sample of which nothing is predicted
    hidden = torch.randn(5, 8, 6, requires_grad=True)
    each = token_losses(hidden, labels, head)
    expected = sample_losses(head(hidden), labels)
    torch.testing.assert_close(each, expected)
    assert each[2] == 0
    weights = torch.randn(5)
    torch.testing.assert_close(
        torch.autograd.grad((each * weights).sum(), hidden)[0],
        torch.autograd.grad((expected * weights).sum(), hidden)[0],
    )


def test_a_token_held_for_impossible_has_a_large_loss_not_an_infinite_one():
    head = nn.Linear(1, 3, bias=False).requires_grad_(False)
    head.weight.copy_(torch.tensor([[500.0], [0.0], [-500.0]]))
    labels = torch.tensor([[0, 2]])
    assert token_losses(torch.ones(1, 2, 1), labels, head).item() == pytest.approx(1000.0)


@pytest.mark.parametrize("name", MAKERS)
def test_language_models_of_all_kinds_have_a_head_that_can_wait(name: str):
    model = add_adapter(base(name), LORA, 0)
    head = vocabulary_head(model, samples(name, 4))
    if name not in ("llama", "qwen2", "gpt2"):
        assert head is None
        return
    assert head is not None and len(head.weight) == VOCABULARY
    batch = samples(name, 4)
    with torch.no_grad():
        logits = model(**batch.inputs).logits
        with losses_of(model, head) as losses:
            hidden = model(**batch.inputs).logits
            assert hidden.shape[-1] == head.in_features
            torch.testing.assert_close(
                losses(hidden, batch.labels), sample_losses(logits, batch.labels)
            )
        assert torch.equal(model(**batch.inputs).logits, logits)  # as it was


def test_a_head_whose_output_the_model_still_changes_is_left_alone():
    torch.manual_seed(0)
    config = hf.Gemma2Config(
        vocab_size=VOCABULARY,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=1,
        head_dim=8,
        intermediate_size=24,
        final_logit_softcapping=3.0,
        use_cache=False,
    )
    model = add_adapter(Base(hf.Gemma2ForCausalLM(config).eval(), ()), LORA, 0)
    assert vocabulary_head(model, samples("llama", 4)) is None

"""Checkpoints in Hugging Face's format as base models: safetensors only, no code of theirs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Literal

import torch
from huggingface_hub import constants
from torch import nn
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoModelForImageClassification,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PretrainedConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
)
from transformers.utils import logging

from wirelessfl import randomness
from wirelessfl.errors import InputError, reason
from wirelessfl.learning.base import Base
from wirelessfl.learning.task import Samples
from wirelessfl.scenario.base_model import HuggingFace

Form = Literal["images", "classes", "tokens"]

_SEED = 0
_ERROR = 40  # level of logging: errors only
_VOCABULARIES = ("tokenizer.json", "vocab.*", "*.model", "*.tiktoken")  # any of these files
_MODELS: dict[Form, Any] = {
    "images": AutoModelForImageClassification,
    "classes": AutoModelForSequenceClassification,
    "tokens": AutoModelForCausalLM,
}


def tokenizer_of(config: HuggingFace) -> PreTrainedTokenizerBase:
    """The checkpoint's tokenizer, which pads with the end-of-text token if with no other.

    Raises:
        InputError: If the checkpoint has none.
    """
    if config.path is not None and not any(
        found for name in _VOCABULARIES for found in Path(config.path).glob(name)
    ):  # transformers would make an empty one, to which every word is unknown
        raise _error(config, "has no tokenizer (tokenizer.json, vocab.txt or the like)")
    with _one_error(config, "its tokenizer"):
        tokenizer: PreTrainedTokenizerBase = AutoTokenizer.from_pretrained(**_source(config))
    if tokenizer.pad_token_id is None:
        if tokenizer.eos_token_id is None:
            raise _error(config, "its tokenizer has neither a padding nor an end-of-text token")
        tokenizer.pad_token = tokenizer.eos_token
    return tokenizer


def huggingface_base(
    config: HuggingFace,
    form: Form,
    classes: int = 0,
    tokenizer: PreTrainedTokenizerBase | None = None,
    image: tuple[int, int] | None = None,
) -> Base:
    """The checkpoint's model, with a fresh head if it has none for so many classes.

    Args:
        config: Where it is.
        form: What the task is.
        classes: Number of classes; 0 for tokens.
        tokenizer: The checkpoint's tokenizer, for text.
        image: Channels and side in pixels of the task's images.

    Raises:
        InputError: If there is no such checkpoint, it is not in safetensors, transformers has no
            model of its kind for the task, weights other than the head's are missing, or a model
            for the next token sees it.
    """
    with _one_error(config, "config.json"):
        architecture: PretrainedConfig = AutoConfig.from_pretrained(**_source(config))
        if classes:
            architecture.num_labels = classes
    if image is not None:
        found = tuple(getattr(architecture, name, None) for name in ("num_channels", "image_size"))
        if found != image:
            raise _error(
                config,
                f"reads images of {found[0]} channels and {found[1]} pixels a side; the task's "
                f"have {image[0]} and {image[1]}",
            )
    with _one_error(config, "the model"), torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.subseed(_SEED, "head"))
        model, loading = _MODELS[form].from_pretrained(
            **_source(config),
            config=architecture,
            dtype=getattr(torch, config.dtype),
            use_safetensors=True,
            ignore_mismatched_sizes=True,
            output_loading_info=True,
        )
    fresh = {
        str(key[0] if isinstance(key, tuple) else key)
        for of in ("missing_keys", "mismatched_keys")
        for key in loading[of]
    }
    head = _head(model, fresh) if classes else ()
    strange = {key for key in fresh if not set(key.split(".")) & set(head)}
    if strange:
        raise _error(config, f"lacks weights of the model, such as {min(strange)}")
    for name, module in model.named_modules():
        if name.rpartition(".")[2] in head:  # it is trained, in float32
            _in_float32(module)
    if tokenizer is not None:
        model.config.pad_token_id = tokenizer.pad_token_id
    model.config.use_cache = False
    if form == "tokens" and _sees_ahead(model.eval()):
        raise _error(
            config,
            f"{type(model).__name__} reads the tokens that it should predict (an encoder, such as "
            "BERT); give the task a label, or take a decoder, such as Llama, Qwen or GPT-2",
        )
    return Base(model.eval(), head, tokenizer)


def check_reads(config: HuggingFace, base: Base, samples: Samples) -> None:
    """Sends the longest sample through the model, which may have room for fewer tokens.

    Raises:
        InputError: If there are more tokens than the model has positions for, or others than it
            knows.
    """
    tokens = samples.inputs["input_ids"]
    known = len(base.model.get_input_embeddings().get_parameter("weight"))
    if (last := int(tokens.max())) >= known:
        raise _error(
            config, f"its tokenizer has a token {last}, its model only {known}: not of one kind"
        )
    longest = samples.take(samples.inputs["attention_mask"].sum(1).argmax()[None])
    try:
        with torch.inference_mode():
            base.model(**longest.inputs)
    except (IndexError, RuntimeError, ValueError) as error:
        raise _error(
            config,
            f"cannot read samples of {longest.inputs['input_ids'].shape[1]} tokens "
            f"({reason(error)}); lower learning.task.max_tokens",
        ) from None


def _head(model: PreTrainedModel, fresh: set[str]) -> tuple[str, ...]:
    """Last names of what is beside the base model, and of its pooler if that is fresh too.

    A masked language model, for one, is saved without the pooler that a classifier reads.
    """
    head = [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]
    if any("pooler" in key.split(".") for key in fresh) and "pooler" not in head:
        head.append("pooler")
    return tuple(head)


def _sees_ahead(model: PreTrainedModel) -> bool:
    """Whether another last token changes what is predicted before it."""
    tokens = torch.tensor([[0, 1, 2], [0, 1, 3]])
    with torch.inference_mode():
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens)).logits[:, :2]
    return bool((logits[0] - logits[1]).abs().max() > 1e-3 * logits.abs().max())


def _in_float32(head: nn.Module) -> None:
    """Makes a head's numbers float32, whatever the numbers that come from the frozen layers."""
    for module in head.float().modules():
        if isinstance(module, nn.Linear):
            module.register_forward_pre_hook(lambda _, args: (args[0].float(), *args[1:]))


def _source(config: HuggingFace) -> dict[str, Any]:
    return {
        "pretrained_model_name_or_path": config.path or config.hub,
        "revision": config.revision or "main",
        "local_files_only": not config.allow_download,
        "trust_remote_code": False,
    }


@contextmanager
def _one_error(config: HuggingFace, what: str) -> Iterator[None]:
    """Says in one line of ours what transformers has against a checkpoint.

    Unless downloading is allowed the hub is out of reach meanwhile: `local_files_only` does not
    keep its library from asking it, for telemetry, which programs may be calling.
    """
    if config.path is not None and not Path(config.path).is_dir():
        raise _error(config, "no such folder")
    before, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    offline = constants.HF_HUB_OFFLINE
    constants.HF_HUB_OFFLINE = offline or not config.allow_download
    logging.set_verbosity(_ERROR)
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    except Exception as error:  # a broken file makes transformers raise nearly anything
        hint = ""
        if config.hub is not None and not config.allow_download:
            hint = "; it is not in the local cache: allow_download: true may fetch it"
        raise _error(config, f"{what} cannot be used: {reason(error)}{hint}") from None
    finally:
        constants.HF_HUB_OFFLINE = offline
        logging.set_verbosity(before)
        if bar:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def _error(config: HuggingFace, message: str) -> InputError:
    field = "path" if config.path is not None else "hub"
    return InputError(f"learning.model.{field}: {config.path or config.hub}: {message}")

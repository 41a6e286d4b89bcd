"""The base model that fine-tuning starts from: a small Vision Transformer with a past.

Hugging Face's ViTForImageClassification at toy size, pre-trained centrally on the task's source set
(slightly turned, shifted and scaled digits 0 to 4), then given a fresh head for all classes.
"""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor
from torch.nn import functional as F  # noqa: N812
from transformers import ViTConfig, ViTForImageClassification

from wirelessfl import randomness
from wirelessfl.errors import InputError
from wirelessfl.learning.base import Base, Progress
from wirelessfl.learning.cache import Tensors, cached_tensors
from wirelessfl.learning.pretraining import made_with, pretrain
from wirelessfl.learning.task import Samples, Task
from wirelessfl.scenario.base_model import TinyVit

HEAD = "classifier"
RECIPE_VERSION = 1
"""Raise it when a change below changes the pre-trained weights."""

_SEED = 0
_BATCH = 64
_PEAK_LR = 3e-3
_PATCH = 2


def tiny_vit(config: TinyVit, task: Task, progress: Progress | None = None) -> Base:
    """The pre-trained model with a fresh head for the task's classes."""
    source = _source(task)
    recipe = {
        "model": config.model_dump(mode="json"),
        "source_sha256": _fingerprint(source),
        "recipe_version": RECIPE_VERSION,
        **made_with(),
    }
    weights = cached_tensors(
        "tiny-vit", recipe, lambda: _pretrain(config, source, progress or (lambda *_: None))
    )
    model = _model(config, source, int(task.classes.max()) + 1, "head")
    model.load_state_dict(weights | _head(model))
    return Base(model, (HEAD,))


def _source(task: Task) -> Samples:
    if task.source is None or "pixel_values" not in task.source.inputs:
        raise InputError("learning.model: tiny-vit reads images; it goes with task: {kind: digits}")
    return task.source


def _model(
    config: TinyVit, source: Samples, classes: int, stream: str
) -> ViTForImageClassification:
    """An untrained model; the same weights on every call with the same stream."""
    channels, size, _ = source.inputs["pixel_values"].shape[1:]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(randomness.subseed(_SEED, stream))
        return ViTForImageClassification(
            ViTConfig(
                image_size=size,
                patch_size=_PATCH,
                num_channels=channels,
                hidden_size=config.hidden,
                num_hidden_layers=config.layers,
                num_attention_heads=config.heads,
                intermediate_size=2 * config.hidden,
                hidden_dropout_prob=0.0,
                attention_probs_dropout_prob=0.0,
                id2label={label: str(label) for label in range(classes)},
            )
        )


def _head(model: ViTForImageClassification) -> Tensors:
    return {name: value for name, value in model.state_dict().items() if name.startswith(HEAD)}


def _pretrain(config: TinyVit, source: Samples, progress: Progress) -> Tensors:
    """Weights, without the head, after AdamW on augmented source images."""
    source_classes = int(source.labels.max()) + 1
    model = _model(config, source, source_classes, "pretrain").train()
    torch_rng = torch.Generator().manual_seed(_SEED)
    rng = randomness.generator(_SEED, "pretrain")

    def loss() -> Tensor:
        rows = torch.from_numpy(rng.integers(len(source), size=_BATCH))
        images = _augment(source.inputs["pixel_values"][rows], torch_rng)
        return F.cross_entropy(model(images).logits, source.labels[rows])

    pretrain(
        model,
        loss,
        config.pretrain_steps,
        _PEAK_LR,
        lambda done: progress("pre-training tiny-vit (once)", done),
    )
    weights: Tensors = model.state_dict()
    return {name: value for name, value in weights.items() if name not in _head(model)}


def _augment(images: Tensor, rng: torch.Generator) -> Tensor:
    """Turns by up to 0.3 rad, scales by 10%, shifts by up to a pixel and adds a little noise."""

    def uniform(*shape: int) -> Tensor:
        return 2.0 * torch.rand(*shape, generator=rng) - 1.0

    n, side = len(images), images.shape[-1]
    angle, scale = 0.3 * uniform(n), 1.0 + 0.1 * uniform(n)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    shift = uniform(2, n) * 2.0 / side
    rows = (cos, -sin, shift[0], sin, cos, shift[1])
    grid = F.affine_grid(
        torch.stack(rows, dim=1).reshape(n, 2, 3), list(images.shape), align_corners=False
    )
    moved = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    return moved + 0.05 * torch.randn(moved.shape, generator=rng)


def _fingerprint(samples: Samples) -> str:
    digest = hashlib.sha256(samples.inputs["pixel_values"].numpy().tobytes())
    digest.update(samples.labels.numpy().tobytes())
    return digest.hexdigest()

"""The work of a model of which only the shapes are known: closed forms, no torch, no weights.

For T tokens a sample, S = sum of (d_in + d_out) and P = sum of d_in d_out over all adapted layers:

    FLOPs, frozen layers     4 P T - 2 P_0 T        (no gradient flows below the first block)
    FLOPs, LoRA per rank     6 S T - 2 S_0 T        (A and B forward, both gradients of each)
    FLOPs, attention         12 T^2 width           per block (scores and values, three passes)

with P_0 and S_0 those inputs of the first block. Counted on real models these are exact
(tests/learning/test_model_size.py). Memory traffic and activations are those of PyTorch without
fused kernels: coefficients measured on the tiny ViT at six shapes and four sets of layers, within
15% where there is more than one block; 16-bit activations take half. A causal model adds its frozen
head over the vocabulary at every token.
"""

from __future__ import annotations

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.learning.partition import holdings
from wirelessfl.learning.workload import Bilinear, StepCost, Workload
from wirelessfl.scenario.base_model import SizedModel, TinyLm, TinyVit
from wirelessfl.scenario.learning import LearningConfig
from wirelessfl.scenario.located import suggestion
from wirelessfl.scenario.lora import LoraConfig
from wirelessfl.scenario.models import ModelSize
from wirelessfl.scenario.tasks import NoTask

_TEXT_TOKENS = 128
_TINY_VIT_SIDE, _TINY_VIT_PATCH = 8, 2  # pixels of a digit, and of a patch

# Numbers moved or kept, measured: see above.
_TRAFFIC_PER_IO, _TRAFFIC_PER_SCORE = 6.65, 13.2  # per layer input or output; per attention score
_TRAFFIC_PER_ADAPTED_IO = 6.1  # what LoRA adds, per input or output of its layers
_TRAFFIC_PER_COMPONENT, _TRAFFIC_PER_LOW = 6.9, 5.8  # per number of a component; per A x
_KEPT_PER_IO, _KEPT_PER_ADAPTED_IO, _KEPT_PER_SCORE = 0.385, 0.5, 1.1


def sized_workload(config: LearningConfig, clients: int, seed: int) -> Workload:
    """The work that the scenario's `learning` section would be, if it were done.

    Args:
        config: The section, with `task: {kind: none}`.
        clients: Number of clients.
        seed: The scenario's seed; clients hold as many samples as the same partition of a real
            task of that size would give them.

    Raises:
        InputError: A target layer does not exist, or there are fewer samples than clients.
    """
    task, model = config.task, config.model
    assert isinstance(task, NoTask)
    if isinstance(model, SizedModel):
        size, weight_bits = model.shapes, model.weight_bits
    else:
        assert isinstance(model, TinyVit | TinyLm)
        size, weight_bits = tiny_size(model), 32
    adapted = {name: size.linear[name] for name in adapted_layers(config.lora, size)}
    tokens = task.tokens or (size.positions if size.patch else _TEXT_TOKENS)
    return Workload(
        samples=holdings(config.partition, task.samples, clients, seed),
        rank=config.lora.rank,
        d_in=np.array([d for shapes in adapted.values() for d, _ in shapes] * size.layers),
        d_out=np.array([d for shapes in adapted.values() for _, d in shapes] * size.layers),
        head_size=0 if size.causal else (size.hidden + 1) * task.classes,
        head_tensors=0 if size.causal else 2,  # weight and bias
        base_bytes=parameters(size) * weight_bits / 8,
        step=_step_cost(size, adapted, tokens, task.classes, weight_bits),
        local=config.local,
    )


def parameters(size: ModelSize) -> int:
    """Weights of the frozen model: embeddings, linear layers and norms; its task head excluded."""
    embedded = (size.vocabulary * (1 + size.untied) + size.positions + size.patch) * size.hidden
    return embedded + size.layers * (_products(size.linear) + 4 * size.hidden)


def _step_cost(
    size: ModelSize,
    adapted: dict[str, tuple[tuple[int, int], ...]],
    tokens: int,
    classes: int,
    weight_bits: int,
) -> StepCost:
    inputs = {name: shapes for name, shapes in size.linear.items() if name in size.block_input}
    adapted_inputs = {name: shapes for name, shapes in adapted.items() if name in inputs}
    width = size.heads * (size.head_dim or size.hidden // size.heads)
    head = size.hidden * (size.vocabulary * tokens if size.causal else classes)
    frozen = size.layers * 4 * _products(size.linear) - 2 * _products(inputs)
    fed = sum(shapes[0][0] for shapes in adapted_inputs.values())
    flops = Bilinear(
        constant=0.0,
        per_rank=0.0,
        per_sample=tokens * frozen
        + size.layers * 12 * tokens**2 * width
        + (4 if size.causal else 6) * head
        + 2 * (tokens - 1) * size.patch * size.hidden * (size.patch > 0),
        per_sample_rank=tokens * (6 * size.layers * _io(adapted) - 2 * fed),
    )
    word = 4 if weight_bits == 32 else 2
    modules = sum(len(shapes) for shapes in adapted.values())
    scores = size.heads * tokens
    block = word * size.layers * tokens
    traffic = Bilinear(
        constant=2 * weight_bits / 8 * size.layers * _products(size.linear),
        per_rank=_TRAFFIC_PER_COMPONENT * 4 * size.layers * _io(adapted),
        per_sample=block
        * (
            _TRAFFIC_PER_IO * _io(size.linear)
            + _TRAFFIC_PER_ADAPTED_IO * _io(adapted)
            + _TRAFFIC_PER_SCORE * scores
        ),
        per_sample_rank=block * _TRAFFIC_PER_LOW * modules,
    )
    kept = Bilinear(
        constant=0.0,
        per_rank=0.0,
        per_sample=block
        * (
            _KEPT_PER_IO * _io(size.linear)
            + _KEPT_PER_ADAPTED_IO * _io(adapted)
            + _KEPT_PER_SCORE * scores
        )
        + word * size.causal * tokens * size.vocabulary,
        per_sample_rank=block * modules,
    )
    return StepCost(flops, traffic, kept)


def adapted_layers(config: LoraConfig, size: ModelSize) -> list[str]:
    """Names of the linear layers that are adapted.

    Raises:
        InputError: A target layer does not exist.
    """
    if config.targets == "auto":
        return list(size.linear)
    for name in config.targets:
        if name not in size.linear:
            raise InputError(
                f"learning.lora.targets: no linear layer is called {name!r}; "
                f"{suggestion(name, list(size.linear))}"
            )
    return list(config.targets)


def tiny_size(config: TinyVit | TinyLm) -> ModelSize:
    """The shapes of the tiny ViT on 8 x 8 digits, or of the tiny Llama."""
    h, m = config.hidden, 2 * config.hidden
    square = dict.fromkeys(("q_proj", "k_proj", "v_proj", "o_proj"), ((h, h),))
    if isinstance(config, TinyLm):
        mlp = {"gate_proj": ((h, m),), "up_proj": ((h, m),), "down_proj": ((m, h),)}
        return ModelSize(
            layers=config.layers,
            hidden=h,
            heads=config.heads,
            linear={**square, **mlp},
            block_input=("q_proj", "k_proj", "v_proj"),
            vocabulary=config.vocabulary,
            causal=True,
        )
    return ModelSize(
        layers=config.layers,
        hidden=h,
        heads=config.heads,
        linear={**square, "fc1": ((h, m),), "fc2": ((m, h),)},
        block_input=("q_proj", "k_proj", "v_proj"),
        positions=(_TINY_VIT_SIDE // _TINY_VIT_PATCH) ** 2 + 1,
        patch=_TINY_VIT_PATCH**2,
    )


def _products(linear: dict[str, tuple[tuple[int, int], ...]]) -> int:
    return sum(d_in * d_out for shapes in linear.values() for d_in, d_out in shapes)


def _io(linear: dict[str, tuple[tuple[int, int], ...]]) -> int:
    return sum(d_in + d_out for shapes in linear.values() for d_in, d_out in shapes)

"""What a learner is: the hash of everything that its results follow from, code and machine too."""

from __future__ import annotations

import json
import platform
from collections.abc import Iterator, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from torch import Tensor

from wirelessfl.learning.memo import digest
from wirelessfl.learning.task import Samples

_PACKAGES = ("torch", "transformers", "peft", "numpy")


def learner_fingerprint(own: Sequence[Any], model: PeftModel, samples: Sequence[Samples]) -> bytes:
    """SHA-256 of a learner.

    Args:
        own: Its settings, as JSON values.
        model: Its model, of which the frozen weights count, and not the adapter of the moment.
        samples: Its data.
    """
    return digest([*_code(), *_settings(own, model), *_tensors(model, samples)])


def _code() -> Iterator[bytes]:
    for path in sorted(Path(__file__).parent.rglob("*.py")):
        yield path.read_bytes()


def _settings(own: Sequence[Any], model: PeftModel) -> Iterator[bytes]:
    yield json.dumps(own).encode()
    yield model.get_base_model().config.to_json_string().encode()  # type: ignore[operator,union-attr]
    yield json.dumps({name: version(name) for name in _PACKAGES}).encode()
    device = next(model.parameters()).device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else torch.backends.cpu.get_cpu_capability()
    )
    yield f"{platform.machine()} {device.type} {name}".encode()


def _tensors(model: PeftModel, samples: Sequence[Samples]) -> Iterator[bytes]:
    frozen: dict[str, Tensor] = dict(model.named_buffers())
    frozen |= {name: p for name, p in model.named_parameters() if not p.requires_grad}
    for name, tensor in sorted(frozen.items()):
        yield name.encode()
        yield _bytes(tensor)
    for part in samples:
        for name, tensor in sorted(part.inputs.items()):
            yield name.encode()
            yield _bytes(tensor)
        yield _bytes(part.labels)


def _bytes(tensor: Tensor) -> bytes:
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return str(tuple(tensor.shape)).encode() + flat.view(torch.uint8).numpy().tobytes()

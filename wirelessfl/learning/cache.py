"""Tensors worth keeping between runs, such as a pre-trained base model.

An entry is a safetensors file and a JSON file that holds the whole recipe and the checksum of the
tensors. The recipe's hash names the entry; an entry that does not match is made again, never
trusted. A lock makes one process build while others wait; each file appears in one step.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from platformdirs import user_cache_path
from safetensors.torch import load, save

from wirelessfl.errors import InputError

Tensors = dict[str, torch.Tensor]


def cache_folder() -> Path:
    """`$WIRELESSFL_CACHE`, or the user's cache folder."""
    chosen = os.environ.get("WIRELESSFL_CACHE")
    return Path(chosen) if chosen else user_cache_path("wirelessfl")


def recipe_key(recipe: Mapping[str, Any]) -> str:
    """Name of a recipe: 16 hexadecimal digits of the hash of its sorted JSON."""
    text = json.dumps(recipe, sort_keys=True)
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()


def cached_tensors(name: str, recipe: Mapping[str, Any], build: Callable[[], Tensors]) -> Tensors:
    """The tensors that `build` makes, from the cache if it holds them unharmed.

    Args:
        name: Start of the files' names.
        recipe: Everything the tensors depend on, as JSON values.
        build: Makes the tensors when the cache does not have them.

    Raises:
        InputError: If the cache folder cannot be used.
    """
    folder = cache_folder()
    stem = folder / f"{name}-{recipe_key(recipe)}"
    if (tensors := _read(stem, recipe)) is not None:
        return tensors
    try:
        folder.mkdir(parents=True, exist_ok=True)
        tempfile.TemporaryFile(dir=folder).close()  # before the work, not after it
    except OSError as error:
        raise InputError(
            f"{folder}: cannot keep pre-trained models here ({error.strerror}); set "
            "WIRELESSFL_CACHE to a folder that can be written"
        ) from None
    with FileLock(f"{stem}.lock"):
        if (tensors := _read(stem, recipe)) is not None:  # another process was faster
            return tensors
        tensors = build()
        data = save(tensors)
        manifest = {"recipe": recipe, "sha256": hashlib.sha256(data).hexdigest()}
        _write(stem.with_suffix(".safetensors"), data)
        _write(stem.with_suffix(".json"), json.dumps(manifest, indent=2, sort_keys=True).encode())
    return tensors


def entries() -> dict[Path, bool]:
    """The tensors that are in the cache, and whether each entry is whole."""
    return {
        path: _whole(path.with_suffix("")) is not None
        for path in sorted(cache_folder().glob("*.safetensors"))
    }


def _read(stem: Path, recipe: Mapping[str, Any]) -> Tensors | None:
    """The entry's tensors, or None where it is missing, damaged or made by another recipe."""
    found = _whole(stem)
    return load(found[1]) if found is not None and found[0] == recipe else None


def _whole(stem: Path) -> tuple[Any, bytes] | None:
    """The entry's recipe and its tensors as bytes, or None where it is missing or damaged."""
    try:
        manifest = json.loads(stem.with_suffix(".json").read_bytes())
        data = stem.with_suffix(".safetensors").read_bytes()
    except (OSError, ValueError):
        return None
    recipe = manifest.get("recipe") if isinstance(manifest, dict) else None
    if manifest != {"recipe": recipe, "sha256": hashlib.sha256(data).hexdigest()}:
        return None
    return recipe, data


def _write(path: Path, data: bytes) -> None:
    """Writes a file so that readers see it whole or not at all."""
    with tempfile.NamedTemporaryFile(dir=path.parent, delete=False) as file:
        file.write(data)
    Path(file.name).replace(path)

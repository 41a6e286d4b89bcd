from __future__ import annotations

import json
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import torch

from wirelessfl.errors import InputError
from wirelessfl.learning.cache import Tensors, cache_folder, cached_tensors

RECIPE = {"layers": 2, "source": "abc"}


class Builder:
    """Makes the tensors and counts how often it had to."""

    def __init__(self, delay_s: float = 0.0):
        self.calls = 0
        self._delay_s = delay_s

    def __call__(self) -> Tensors:
        self.calls += 1
        time.sleep(self._delay_s)
        return {"w": torch.arange(6.0).reshape(2, 3)}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("WIRELESSFL_CACHE", str(tmp_path / "deep" / "cache"))
    return cache_folder()


def test_the_second_request_comes_from_the_cache():
    build = Builder()
    first, again = (cached_tensors("base", RECIPE, build) for _ in range(2))
    assert build.calls == 1
    assert torch.equal(first["w"], again["w"])


def test_another_recipe_is_another_entry():
    build = Builder()
    cached_tensors("base", RECIPE, build)
    cached_tensors("base", RECIPE | {"layers": 3}, build)
    assert build.calls == 2


def flip_last_byte(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize("suffix", [".safetensors", ".json"])
@pytest.mark.parametrize(
    "harm",
    [flip_last_byte, lambda path: path.write_bytes(path.read_bytes()[:-7]), Path.unlink],
    ids=["flipped", "truncated", "missing"],
)
def test_a_damaged_entry_is_made_again(folder: Path, suffix: str, harm):
    build = Builder()
    cached_tensors("base", RECIPE, build)
    [path] = folder.glob(f"*{suffix}")
    harm(path)
    repaired = cached_tensors("base", RECIPE, build)
    assert build.calls == 2
    assert torch.equal(repaired["w"], Builder()()["w"])
    cached_tensors("base", RECIPE, build)
    assert build.calls == 2


def test_the_manifest_tells_how_the_tensors_were_made(folder: Path):
    cached_tensors("base", RECIPE, Builder())
    [path] = folder.glob("*.json")
    assert json.loads(path.read_text())["recipe"] == RECIPE


def test_of_two_that_race_one_builds_and_both_get_it(folder: Path):
    build, start = Builder(delay_s=0.2), threading.Barrier(2)

    def request(_: int) -> Tensors:
        start.wait()
        return cached_tensors("base", RECIPE, build)

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(request, range(2))
    assert build.calls == 1
    assert torch.equal(one["w"], two["w"])
    assert sorted(path.suffix for path in folder.iterdir()) == [".json", ".lock", ".safetensors"]


def test_a_cache_that_cannot_be_written_is_told_before_any_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    monkeypatch.setenv("WIRELESSFL_CACHE", str(tmp_path / "file" / "cache"))
    build = Builder()
    with pytest.raises(InputError, match="set WIRELESSFL_CACHE"):
        cached_tensors("base", RECIPE, build)
    assert build.calls == 0

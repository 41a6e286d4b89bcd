"""Payloads against the tensors that a message would hold."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from numpy.testing import assert_array_equal
from safetensors.torch import save

from tests.learning.conftest import BuildLearner, small_config, trained
from wirelessfl.learning.jobs import GradientJob
from wirelessfl.learning.learner import Learner
from wirelessfl.learning.model_size import sized_workload
from wirelessfl.learning.workload import Workload
from wirelessfl.scenario.adapter import FixedAdapter, Method
from wirelessfl.scenario.tasks import NoTask
from wirelessfl.simulation.merges import Merges

METHODS = get_args(Method)
TYPES = {
    "float32": torch.float32,
    "float16": torch.float16,
    "bfloat16": torch.bfloat16,
    "int8": torch.int8,
}


@pytest.fixture(scope="module")
def learner(build: BuildLearner) -> Learner:
    return build(local={"steps": 2, "batch": 8})


def bits(tensors: dict[str, torch.Tensor]) -> int:
    """Bits of the numbers in a safetensors file, without its header."""
    written = save(tensors)
    header = int.from_bytes(written[:8], "little")
    entries = json.loads(written[8 : 8 + header])
    assert len(entries) == len(tensors)
    return 8 * (len(written) - 8 - header)


def message(
    learner: Learner, rank: int, a: bool = True, b: bool = True, dtype: str = "float32"
) -> dict[str, torch.Tensor]:
    """A and B of `rank` components of each layer, as far as they are sent, and the head."""
    kind, tensors = TYPES[dtype], {}
    for module in learner.layout.modules:
        if a:
            tensors[f"{module.name}.lora_A"] = torch.zeros(rank, module.d_in, dtype=kind)
        if b:
            tensors[f"{module.name}.lora_B"] = torch.zeros(module.d_out, rank, dtype=kind)
    for parameter in learner.layout.head:
        tensors[parameter.name] = torch.zeros(parameter.shape, dtype=kind)
    if dtype == "int8":
        for name, tensor in list(tensors.items()):
            rows = rank if "lora" in name else 1
            assert "lora" not in name or rank in tensor.shape
            tensors[f"{name}.scale"] = torch.zeros(rows)
    return tensors


def head(learner: Learner) -> dict[str, torch.Tensor]:
    return {p.name: torch.zeros(p.shape) for p in learner.layout.head}


def workload_of(learner: Learner, **options: str) -> Workload:
    return replace(learner.workload, **options)


@pytest.mark.parametrize("dtype", TYPES)
@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("name", METHODS)
def test_an_upload_is_the_bytes_of_its_tensors(name: str, rank: int, dtype: str, learner: Learner):
    workload = workload_of(learner, method=name, uplink_dtype=dtype)
    tensors = message(learner, rank, a=name != "ffa", b=name != "fedsa", dtype=dtype)
    assert workload.upload_bits(rank) == bits(tensors)


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("name", METHODS)
def test_an_upload_holds_all_that_a_client_changed_and_shares(
    name: str, rank: int, learner: Learner
):
    method = learner.method(FixedAdapter(method=name))
    model, job = method.initial(trained(learner, 3)), GradientJob(0, 2, 1, rank)
    [update] = learner.train([job], {0: model}, method)
    support = method.support(job)
    assert len(support.places) * 32 == workload_of(learner, method=name).upload_bits(rank)
    assert set(np.flatnonzero(update.delta)) <= set(support.places)
    assert np.count_nonzero(update.delta) > 0.95 * len(support.places)  # a gradient may be zero


@pytest.mark.parametrize("rank", [1, 3, 8])
@pytest.mark.parametrize("name", METHODS)
def test_a_first_download_is_the_bytes_of_its_tensors(name: str, rank: int, learner: Learner):
    workload = workload_of(learner, method=name, uplink_dtype="int8")  # which changes nothing here
    tensors = message(learner, rank, a=name != "ffa", b=name != "fedsa")
    if name in ("flora", "fedex"):  # a fresh adapter follows from the seed
        tensors = head(learner)
    assert workload.download_bits(rank) == bits(tensors)
    assert not Merges(workload).missed_bits().any()


def test_a_sketch_of_the_update_downloads_holds_and_computes_with_everything(learner: Learner):
    update = workload_of(learner, sketch_mode="update")
    whole, ranks = learner.workload, np.array([1, 3, 8])
    assert_array_equal(update.download_bits(ranks), [bits(message(learner, 8))] * 3)
    assert_array_equal(update.upload_bits(ranks), whole.upload_bits(ranks))
    clients = np.arange(3)
    assert_array_equal(
        update.local_flops(clients, ranks), whole.local_flops(clients, np.full(3, 8))
    )
    memory, full = update.memory_bytes(ranks), whole.memory_bytes(np.array([8, 8, 8]))
    gradients = 4 * (8 - ranks) * learner.layout.component_size  # of those that are not trained
    assert_array_equal(memory, full - gradients)


@pytest.mark.parametrize("name", ["flora", "fedex"])
def test_who_was_away_downloads_of_each_layer_the_stacks_it_missed_or_the_whole_change(
    name: str, learner: Learner
):
    own = 8 if name == "fedex" else 0  # components of the new average

    def missed(components: int) -> int:
        """Each layer's stacks or, with what it takes to follow later averages, its change."""
        least = 0
        for module in learner.layout.modules:
            d_in, d_out = module.d_in, module.d_out
            stacks = {"a": torch.zeros(components, d_in), "b": torch.zeros(d_out, components)}
            adapter = {"a": torch.zeros(own, d_in), "b": torch.zeros(d_out, own)}
            least += min(bits(stacks), bits({"w": torch.zeros(d_out, d_in), **adapter}))
        return least

    workload = workload_of(learner, method=name)
    every = range(1, 40)
    assert_array_equal(workload.missed_bits(every), [missed(components) for components in every])
    stacks = 32 * np.array(every) * workload.component_size
    short = workload.missed_bits(every) < stacks
    assert short.any()
    assert not short.all()

    merges = Merges(workload)
    assert not merges.missed_bits().any()
    merges.add(np.array([2, 1]))
    assert set(merges.missed_bits()) == {missed(3 + own)}
    merges.send(np.array([0, 2]))
    merges.add(np.array([1]))
    once, twice = missed(1 + own), missed(4 + 2 * own)
    assert_array_equal(merges.missed_bits()[:4], [once, twice, once, twice])
    merges.add(np.zeros(0, np.int64))  # nobody's update arrived
    assert_array_equal(merges.missed_bits()[:4], [once, twice, once, twice])


@pytest.mark.parametrize("name", [n for n in METHODS if n not in ("flora", "fedex")])
def test_methods_that_leave_the_frozen_weights_alone_merge_nothing(name: str, learner: Learner):
    merges = Merges(workload_of(learner, method=name))
    merges.add(np.array([8, 8]))
    assert not merges.missed_bits().any()


@pytest.mark.parametrize("name", METHODS)
def test_timing_only_knows_the_same_payloads(name: str, learner: Learner):
    config = small_config(local={"steps": 2, "batch": 8}).model_copy(update={"task": NoTask()})
    shapes = replace(sized_workload(config, 5, 0), method=name)
    real, ranks = workload_of(learner, method=name), np.array([1, 4, 8])
    for payload in ("download_bits", "upload_bits", "missed_bits"):
        assert_array_equal(getattr(shapes, payload)(ranks), getattr(real, payload)(ranks))
    assert shapes.merged_components(ranks) == real.merged_components(ranks)

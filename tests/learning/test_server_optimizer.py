"""The server's optimisers are torch's, with minus the aggregated update as the gradient."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from pydantic import ValidationError

from wirelessfl.learning.server_optimizer import server_optimizer
from wirelessfl.scenario.server_step import FixedStep, PlannedStep

ROUNDS, PARAMETERS = 12, 9


def torch_twin(kind: str, parameter: torch.Tensor) -> torch.optim.Optimizer:
    if kind == "momentum":
        return torch.optim.SGD([parameter], lr=1.0, momentum=0.7)
    return torch.optim.Adam([parameter], lr=1.0, betas=(0.8, 0.95), eps=1e-2)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("momentum", {"momentum": 0.7}), ("adam", {"beta1": 0.8, "beta2": 0.95, "eps": 1e-2})],
)
def test_they_move_as_torch_does_with_a_step_that_changes(kind: str, options: dict[str, float]):
    rng = np.random.default_rng(0)
    ours = server_optimizer(FixedStep(optimizer=kind, step=0.1, **options))  # type: ignore[arg-type]
    model = rng.normal(size=PARAMETERS)
    twin = torch.tensor(model, requires_grad=True)
    optimizer = torch_twin(kind, twin)
    for round in range(ROUNDS):
        total = rng.normal(size=PARAMETERS) * (round != 5)  # once nobody's update arrives
        step = rng.uniform(0.01, 1.0)
        model = model + step * ours.move(total)
        optimizer.param_groups[0]["lr"] = step
        twin.grad = -torch.tensor(total)
        optimizer.step()
        np.testing.assert_allclose(model, twin.detach().numpy(), rtol=1e-12)


def test_plain_is_the_update_itself():
    total = np.array([1.0, -2.0])
    assert server_optimizer(FixedStep()).move(total) is total


def test_options_go_with_their_optimizer():
    with pytest.raises(ValidationError, match=r"server.beta2 goes with server.optimizer: adam"):
        FixedStep(optimizer="momentum", beta2=0.5)
    with pytest.raises(ValidationError, match=r"server.momentum goes with .*: momentum"):
        PlannedStep(momentum=0.5)


def test_adam_does_not_take_the_step_of_a_sum():
    with pytest.raises(ValidationError, match=r"adam needs a step of its own"):
        FixedStep(optimizer="adam")
    assert PlannedStep(optimizer="adam", step_max=0.01).step == "coupled"
    again = FixedStep.model_validate(FixedStep(optimizer="adam", step=0.01).model_dump())
    assert again.step == 0.01

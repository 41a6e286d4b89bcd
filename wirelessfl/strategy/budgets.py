"""What a participation takes from a client, in joules and bytes, and what it may spend of them."""

from __future__ import annotations

import numpy as np

from wirelessfl.errors import InputError
from wirelessfl.scenario.participation import PlannedParticipation
from wirelessfl.scenario.sharing import SharingConfig
from wirelessfl.strategy.observation import Floats, Ints, Observation
from wirelessfl.strategy.problem import Budget
from wirelessfl.strategy.round_model import round_model

# Rules under which those who send together finish together, if they send equally much.
TOGETHER = ("work_conserving", "equal_finish", "max_min")


def budgets(
    observation: Observation,
    participation: PlannedParticipation,
    bandwidth: SharingConfig,
    ranks: Ints,
) -> tuple[Budget, ...]:
    """The budgets that the options set, for ranks [clients, options].

    Raises:
        InputError: An energy budget is set, and some device's power is not known.
    """
    found = []
    if (energy := participation.energy_budget) is not None:
        senders = min(participation.expected_max or participation.pilot_expected, len(ranks))
        spent = participation_j(observation, bandwidth, ranks, senders)
        limits = energy.per_round_j or np.inf, energy.per_hour_j or np.inf
        found.append(Budget("energy_budget", spent, *limits))
    if (traffic := participation.traffic_budget) is not None:
        everybody = np.arange(observation.clients)[:, None]
        down, up = observation.download_bits(everybody, ranks), observation.upload_bits(ranks)
        spent = (down + up) / 8.0
        limits = traffic.per_round_bytes or np.inf, traffic.per_hour_bytes or np.inf
        found.append(Budget("traffic_budget", spent, *limits))
    return tuple(found)


def participation_j(
    observation: Observation, bandwidth: SharingConfig, ranks: Ints, senders: float
) -> Floats:
    """Predicted energy of one participation: receiving, training, sending. [clients, options]

    A client listens from the start, also while its download is in the wire. Links are taken as
    shared evenly by `senders` clients; where shares let all finish together, everybody sends for
    the mean of these times, or as long as it would alone. With limited power
    (`power_mode: total`) a client radiates all of it while it sends; otherwise in proportion to its
    share, so that the amplifier takes what it would alone and only the circuit runs longer.

    Raises:
        InputError: Some device's power is not known.
    """
    powers = observation.powers
    if powers is None or not np.isfinite(powers.compute_fixed_j).all():
        raise InputError(
            "strategy.participation.energy_budget needs the power of every device, "
            "devices.profiles.*.compute_power"
        )
    model = round_model(observation, bandwidth, ranks)
    level = int(model.uploads.level(np.asarray(senders)))
    delay, band = model.uploads.delay_s[level], model.uploads.band_s[level]
    sending_s = delay + senders * band
    if bandwidth.kind in TOGETHER:
        sending_s = np.maximum(sending_s.mean(axis=0), delay + band)
    radiating_s = sending_s if observation.uplink_efficiency_of is not None else band
    training_j = powers.compute_fixed_j[:, None] + ranks * powers.compute_per_rank_j[:, None]
    return np.asarray(
        powers.receive_w[:, None] * (senders * model.download_s + observation.latency_s[:, None])
        + training_j
        + powers.amplifier_w * radiating_s
        + powers.circuit_w * sending_s
    )

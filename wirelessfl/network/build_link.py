"""From a link's section of the scenario to the link."""

from __future__ import annotations

import simpy

from wirelessfl.network.ergodic import ErgodicRates
from wirelessfl.network.ergodic_link import ErgodicLink
from wirelessfl.network.fading import Direction
from wirelessfl.network.flows import RateSource
from wirelessfl.network.link import Link
from wirelessfl.network.multicast import MulticastLink
from wirelessfl.network.sharing import SharingRule
from wirelessfl.scenario.network import Downlink, Uplink


def build_link(
    env: simpy.Environment,
    source: RateSource,
    direction: Direction,
    config: Uplink | Downlink,
    rule: SharingRule,
) -> Link:
    """The link that `config` describes, over rates from `source`.

    Args:
        env: SimPy environment.
        source: Where rates come from.
        direction: "uplink" or "downlink".
        config: Bandwidth, engine, and for a downlink whether it is multicast.
        rule: How the bandwidth is shared; for an uplink the strategy chooses it.

    Raises:
        InputError: If the engine does not apply to the channel and the rule.
    """
    if isinstance(source, ErgodicRates):
        return ErgodicLink(env, source, direction, config.bandwidth_hz, rule, config.engine)
    multicast = isinstance(config, Downlink) and config.mode == "multicast"
    kind = MulticastLink if multicast else Link
    return kind(env, source, direction, config.bandwidth_hz, rule, config.engine)

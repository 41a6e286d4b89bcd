"""Which engine computes the future of a link: the fastest that is exact there."""

from __future__ import annotations

import math

from wirelessfl.errors import InputError
from wirelessfl.network.fading import Direction
from wirelessfl.network.fifo import Fifo
from wirelessfl.network.flows import RateSource
from wirelessfl.network.fluid import Fluid
from wirelessfl.network.held_shares import HeldShares
from wirelessfl.network.sharing import EqualShareRule, FifoRule, SharingRule
from wirelessfl.network.slot_sharing import SlotSharing
from wirelessfl.network.virtual_time import VirtualTime
from wirelessfl.scenario.network import Engine


def fluid_engine(
    engine: Engine,
    source: RateSource,
    direction: Direction,
    bandwidth_hz: float,
    rule: SharingRule,
) -> Fluid:
    """The engine asked for; "auto" leaps wherever that is exact.

    Raises:
        InputError: If virtual time is asked for where rates vary or are not linear in the share.
    """
    if engine != "slotted":
        fluid = VirtualTime(source, direction, bandwidth_hz, rule)
        if fluid.is_exact:
            return fluid
        if engine == "virtual_time":
            raise InputError(
                f"network.{direction}.engine: virtual_time needs rates that never change (fading: "
                "none, no replay) and that are linear in the share (power_mode: per_rb), or shares "
                "that are held (equal_finish with resolve: never); write auto or slotted"
            )
    kind: type[Fluid] = Fluid
    if math.isfinite(source.slot_s):
        if not rule.replans:
            kind = HeldShares
        elif isinstance(rule, FifoRule):
            kind = Fifo
        elif isinstance(rule, EqualShareRule) and source.proportional(direction):
            kind = SlotSharing
    return kind(source, direction, bandwidth_hz, rule)

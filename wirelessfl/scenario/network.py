"""The network section: both links, the air between, or rates measured on a real one."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from wirelessfl.scenario.base import Config, FileHash, FileName, MisfitError
from wirelessfl.scenario.mobility import (
    Interference,
    Mobility,
    NoInterference,
    RandomWaypointMobility,
    StaticMobility,
    TraceMobility,
)
from wirelessfl.scenario.place import Cells, FixedPlacement, Placement, UniformPlacement
from wirelessfl.scenario.radio import (
    CustomFading,
    Fading,
    GapRate,
    Jakes,
    PathLoss,
    Rate,
    RayleighBlock,
    Rician,
    Shadowing,
    Tr38901PathLoss,
    Tr38901Shadowing,
)
from wirelessfl.scenario.sharing import (
    EqualFinish,
    EqualShare,
    SharingConfig,
    lives_from_slots,
)
from wirelessfl.scenario.topology import Backhaul, SingleTopology, TopologyConfig
from wirelessfl.scenario.units import Db, Dbm, Hertz, Seconds

Fidelity = Literal["exact", "ergodic"]
Engine = Literal["auto", "slotted", "virtual_time"]

_ENGINE = (
    "How the link's future is computed, with the same result: virtual_time in closed "
    "form, which needs rates that never change and are linear in the share (fading: none, "
    "power_mode: per_rb) or shares that are held; slotted by coherence slots; auto: the fastest "
    "that is exact."
)


class Uplink(Config):
    """From the clients to the base station."""

    bandwidth_hz: Hertz = Field(
        5e6, ge=1, le=1e15, alias="bandwidth", description="Bandwidth shared by all uploads."
    )
    power_dbm: Dbm = Field(
        23.0,
        ge=-200,
        le=200,
        alias="power",
        description="Transmit power of a client (TS 38.101-1 power class 3: 23 dBm).",
    )
    noise_figure_db: Db = Field(
        5.0, ge=0, le=100, alias="noise_figure", description="Noise figure of the base station."
    )
    power_mode: Literal["total", "per_rb"] = Field(
        "total",
        description="total: a client puts all its power into its share, so a narrower share has a "
        "higher SNR; per_rb: power is spread over the whole bandwidth, so SNR is independent of "
        "the share.",
    )
    engine: Engine = Field("auto", description=_ENGINE)


class Downlink(Config):
    """From the base station to the clients."""

    bandwidth_hz: Hertz = Field(
        20e6, ge=1, le=1e15, alias="bandwidth", description="Bandwidth shared by all downloads."
    )
    power_dbm: Dbm = Field(
        46.0,
        ge=-200,
        le=200,
        alias="power",
        description="Transmit power of the base station over the whole bandwidth.",
    )
    noise_figure_db: Db = Field(
        7.0, ge=0, le=100, alias="noise_figure", description="Noise figure of a client."
    )
    power_mode: Literal["per_rb"] = Field(
        "per_rb",
        description="The base station serves all shares from one amplifier, so its power is "
        "spread evenly over the bandwidth.",
    )
    mode: Literal["unicast", "multicast"] = Field(
        "unicast",
        description="unicast: one copy for each client; multicast: one copy for all clients of a "
        "round, at the rate of the worst of them in each coherence slot.",
    )
    sharing: SharingConfig = Field(EqualShare(), description="How downloads share the bandwidth.")
    engine: Engine = Field("auto", description=_ENGINE)

    @model_validator(mode="after")
    def _streams_are_slotted(self) -> Downlink:
        if self.mode == "multicast" and self.engine == "virtual_time":
            raise ValueError(
                "engine: virtual_time is for unicast, where each client has a rate of its own; "
                "write auto or slotted"
            )
        return self


class Replay(Config):
    """Rates from a file with the columns time_s,client,dl_mbps,ul_mbps[,snr_db].

    They were measured with the whole bandwidth; a share of it carries that share of the rate.
    """

    file: FileName = Field(
        min_length=1,
        description="CSV file, relative to this one. Traces repeat; with fewer traces than clients "
        "they are dealt out in turn, from a random time on.",
    )
    sha256: FileHash = None


class NetworkConfig(Config):
    """The radio network: its cells with two links each, the channel between, and the wires behind.

    Every cell has the whole bandwidth of both links for itself (frequency reuse 1).
    """

    carrier_hz: Hertz = Field(3.5e9, gt=0, alias="carrier", description="Carrier frequency.")
    topology: TopologyConfig = Field(SingleTopology(), description="The base stations.")
    backhaul: Backhaul = Field(Backhaul(), description="Edges between stations and server.")
    cells: Cells = Field(Cells(), description="The size of every cell.")
    placement: Placement = Field(UniformPlacement(), description="Where the clients are.")
    mobility: Mobility = Field(StaticMobility(), description="How clients move.")
    association: Literal["nearest", "strongest"] = Field(
        "nearest",
        description="Which base station serves a client: the nearest, or that of the highest mean "
        "gain, shadowing included.",
    )
    interference: Interference = Field(
        NoInterference(), description="What the other cells add to the noise."
    )
    uplink: Uplink = Field(Uplink(), description="Clients to base station.")
    downlink: Downlink = Field(Downlink(), description="Base station to clients.")
    antenna_gain_db: Db = Field(
        0.0, alias="antenna_gain", description="Sum of both antennas' gains, in both directions."
    )
    path_loss: PathLoss = Field(Tr38901PathLoss(), description="Mean loss over distance.")
    shadowing: Shadowing = Field(Tr38901Shadowing(), description="Large-scale variation.")
    fading: Fading = Field(RayleighBlock(), description="Small-scale variation over time.")
    rate: Rate = Field(GapRate(), description="Bit/s per Hz at a given SNR.")
    replay: Replay | None = Field(
        None,
        description="Measured rates, in place of placement, mobility, interference, powers, path "
        "loss, shadowing, fading and rate, which then decide nothing.",
    )
    fidelity: Fidelity = Field(
        "exact",
        description="exact: every coherence slot is followed; ergodic: transfers go at the mean "
        "rate over the fading and take a random time around that, an approximation for transfers "
        "of 100 coherence times and more (the summary counts shorter ones) at the cost of a "
        "channel that does not fade. Not for jakes, replay, multicast, or rules that divide every "
        "slot.",
    )
    report_window_s: Seconds = Field(
        1.0,
        gt=0,
        alias="report_window",
        description="The server knows each client's rate averaged over the last so many seconds.",
    )

    @model_validator(mode="after")
    def _one_section_says_where_clients_are(self) -> NetworkConfig:
        elsewhere = isinstance(self.mobility, RandomWaypointMobility | TraceMobility)
        if elsewhere and isinstance(self.placement, FixedPlacement):
            raise MisfitError(
                ("placement",),
                f"fixed distances do not go with mobility: {self.mobility.kind}, which says itself "
                "where clients start; write placement: {kind: uniform}",
            )
        return self

    @model_validator(mode="after")
    def _ergodic_needs_no_slots(self) -> NetworkConfig:
        if self.fidelity == "exact":
            return self
        if self.replay is not None:
            raise MisfitError(
                ("replay",),
                "measured rates have no law to take means over; write fidelity: exact",
            )
        if isinstance(self.fading, Jakes):
            raise MisfitError(
                ("fading",),
                "jakes does not go with fidelity: ergodic, as the correlation of its power has no "
                "integral; write rayleigh_block, or fidelity: exact",
            )
        if isinstance(self.fading, CustomFading):
            raise MisfitError(
                ("fading",),
                "custom has no known law to take means over, which fidelity: ergodic needs; write "
                "fidelity: exact",
            )
        for link in ("uplink", "downlink"):
            if getattr(self, link).engine == "slotted":
                raise MisfitError(
                    (link, "engine"),
                    "slotted follows coherence slots, which fidelity: ergodic does away with; "
                    "write auto, or fidelity: exact",
                )
        if self.downlink.mode == "multicast":
            raise MisfitError(
                ("downlink", "mode"),
                "multicast goes at the rate of the worst in each coherence slot, which fidelity: "
                "ergodic does away with; write unicast, or fidelity: exact",
            )
        self.check_rule(("downlink", "sharing"), self.downlink.sharing)
        return self

    def check_rule(self, path: tuple[str, ...], rule: SharingConfig) -> None:
        """Refuse a rule at `path` that this network cannot follow.

        Raises:
            MisfitError: If it divides every coherence slot, and there are none.
        """
        if self.fidelity == "ergodic" and lives_from_slots(rule):
            resolve = ", resolve: every_slot" if isinstance(rule, EqualFinish) else ""
            raise MisfitError(
                path,
                f"{rule.kind}{resolve} divides every coherence slot anew, which network.fidelity: "
                "ergodic does away with; write another rule, or fidelity: exact",
            )

    @model_validator(mode="after")
    def _tables_belong_to_the_environment(self) -> NetworkConfig:
        if isinstance(self.path_loss, Tr38901PathLoss):
            return self
        if isinstance(self.shadowing, Tr38901Shadowing):
            raise ValueError(
                "shadowing: tr38901 needs path_loss: tr38901; "
                "write shadowing: {kind: lognormal, sigma: 8 dB} or {kind: none}"
            )
        if isinstance(self.fading, Rician) and self.fading.k_factor_db == "auto":
            raise ValueError(
                "fading.k_factor: auto needs path_loss: tr38901; give a value such as 9 dB"
            )
        return self

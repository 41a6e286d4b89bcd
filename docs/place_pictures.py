"""Pictures of docs/physics.md about where clients are and which cells there are.

Drawn by `physics_pictures.py` with the others, from the package's own models.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Circle, RegularPolygon
from numpy.typing import NDArray
from scipy.special import ellipe

from wirelessfl.network.gauss_markov import GaussMarkov
from wirelessfl.network.geometry import Disc
from wirelessfl.network.interference import Interference
from wirelessfl.network.map import draw_network
from wirelessfl.network.mean_gains import MeanGains
from wirelessfl.network.mobility import Mobility, Steps, Still
from wirelessfl.network.propagation import build_stations
from wirelessfl.network.random_waypoint import RandomWaypoint
from wirelessfl.network.station_rates import link_budget
from wirelessfl.network.topology import build_topology
from wirelessfl.scenario import load
from wirelessfl.scenario.mobility import GaussMarkovMobility, RandomWaypointMobility
from wirelessfl.scenario.network import Downlink, NetworkConfig
from wirelessfl.scenario.place import Cells
from wirelessfl.scenario.radio import NoFading, Tr38901PathLoss
from wirelessfl.scenario.topology import HexGridTopology
from wirelessfl.trace.plots import COLOURS

Floats = NDArray[np.float64]

SCENARIOS = Path(__file__).parents[1] / "scenarios"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK = COLOURS
GREY = "#777777"

RADIUS_M = 500.0
WALK = RandomWaypointMobility(min_speed_mps=1.0, max_speed_mps=10.0)
DRIVE = GaussMarkovMobility(mean_speed_mps=10.0, speed_sigma_mps=2.0)


def mobility(figure: Figure) -> None:
    """Paths of three clients under two movements; where all are, and how fast, against the laws."""
    disc, clients = Disc(np.zeros(2), RADIUS_M), 40_000
    start_xy_m = disc.random_places(1, "picture", np.arange(clients))
    walk = RandomWaypoint(WALK, disc, clients, seed=3)
    drive = GaussMarkov(DRIVE, disc, start_xy_m, seed=3)
    (left, right), (density, speed) = figure.subplots(2, 2)
    _paths(left, walk, "random_waypoint, 15 min")
    _paths(right, drive, "gauss_markov, 15 min")

    off = np.linspace(0.0, 1.0, 200)
    law = 45.0 / 32.0 * (1.0 - off**2) * ellipe(off**2)
    density.plot(off, law, color=BLACK, label="random waypoint, law")
    density.plot(off, np.ones_like(off), "--", color=BLACK, label="uniform")
    rings = np.linspace(0.0, 1.0, 16)
    for moves, colour, name in ((walk, BLUE, "random_waypoint"), (drive, ORANGE, "gauss_markov")):
        for t_s, marker in ((0.0, "o"), (1000.0, "x")):
            xy = moves.positions_m(np.arange(clients), t_s)
            inside, _ = np.histogram(np.hypot(*xy.T) / RADIUS_M, rings)
            per_area = inside / clients / np.diff(rings**2)
            density.plot(
                (rings[1:] + rings[:-1]) / 2.0,
                per_area,
                marker,
                color=colour,
                markersize=7,
                label=f"{name}, {t_s:g} s",
            )
    density.set(xlim=(0.0, 1.0), ylim=(0.0, 2.6), xlabel="distance from the centre over radius")
    density.set_title("clients per area over their mean", loc="left")
    density.legend(fontsize=10.5, loc="lower left", bbox_to_anchor=(0.0, -0.01), labelspacing=0.15)

    mps = np.linspace(0.0, 20.0, 400)
    slow, fast = WALK.min_speed_mps, WALK.max_speed_mps
    inverse = np.where((mps >= slow) & (mps <= fast), 1.0, 0.0) / np.maximum(mps, slow)
    speed.plot(mps, inverse / math.log(fast / slow), color=BLACK, label=r"$\propto 1/v$")
    sigma = DRIVE.speed_sigma_mps
    normal = np.exp(-0.5 * ((mps - DRIVE.mean_speed_mps) / sigma) ** 2)
    normal /= sigma * math.sqrt(2.0 * math.pi)
    speed.plot(mps, normal, "--", color=BLACK, label="normal")
    for moves, colour, label in (
        (walk, BLUE, "random_waypoint"),
        (drive, ORANGE, "gauss_markov"),
    ):
        everyone = np.arange(clients)
        way = moves.positions_m(everyone, 1000.01) - moves.positions_m(everyone, 1000.0)
        measured = np.hypot(*way.T) / 0.01
        speed.hist(
            measured, np.arange(0.0, 20.1, 0.5), density=True, color=colour, alpha=0.55, label=label
        )
    speed.set(xlim=(0.0, 20.0), xlabel="speed (m/s)")
    speed.set_title("density of speed at 1000 s", loc="left")
    speed.legend(loc="upper right")


def _paths(axes: Axes, moves: Mobility, title: str) -> None:
    """Three clients' paths, a dot where each begins."""
    times_s = np.arange(0.0, 901.0, 1.0)
    who = np.arange(3)
    xy = np.array([moves.positions_m(who, t_s) for t_s in times_s])
    for client, colour in zip(who, (BLUE, ORANGE, GREEN), strict=True):
        axes.plot(*xy[:, client].T, color=colour, linewidth=1.3)
        axes.plot(*xy[0, client], "o", color=colour, markersize=9, markeredgecolor="white")
    axes.add_patch(Circle((0.0, 0.0), RADIUS_M, fill=False, color=GREY))
    axes.plot(0.0, 0.0, "^", color=BLACK, markersize=9, markeredgecolor="white")
    axes.set(xlim=(-520.0, 520.0), ylim=(-520.0, 520.0), aspect="equal", xlabel="metres")
    axes.set_title(title, loc="left")
    axes.grid(visible=False)


GRID = NetworkConfig(
    topology=HexGridTopology(rings=1),
    cells=Cells(radius_m=300.0),
    downlink=Downlink(power_dbm=43.0),
    path_loss=Tr38901PathLoss(environment="uma"),
    fading=NoFading(),
)


def sinr(figure: Figure) -> None:
    """Downlink SINR over seven cells with silent and with busy neighbours, and its distribution."""
    left, right, below = figure.subplots(1, 3, width_ratios=(1, 1, 0.85))
    stations_xy = build_topology(GRID, seed=0).xy_m
    side = np.linspace(-900.0, 900.0, 361)
    xy = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    gains, budget = _gains(xy, stations_xy), link_budget(GRID.downlink).full_band_snr
    cell = gains.serving(np.arange(len(xy)), 0)
    covered = np.hypot(*(xy - stations_xy[cell]).T) <= GRID.cells.radius_m
    maps = {load: _sinr_db(gains, cell, load, budget) for load in (0.0, 0.1, 0.5, 1.0)}
    for axes, load_, title in ((left, 0.0, "interference: none"), (right, 0.5, "load: 0.5")):
        image = axes.imshow(
            np.where(covered, maps[load_], np.nan).reshape(361, 361),
            "viridis",
            extent=(-900.0, 900.0, -900.0, 900.0),
            origin="lower",
            vmin=-10.0,
            vmax=60.0,
        )
        for place in stations_xy:
            hexagon = RegularPolygon(
                tuple(place), 6, radius=300.0, fill=False, edgecolor="white", linewidth=1.2
            )
            axes.add_patch(hexagon)
        axes.plot(*stations_xy.T, "^", color=BLACK, markersize=8, markeredgecolor="white")
        axes.grid(visible=False)
        axes.set(xticks=(-800, 0, 800), yticks=(-800, 0, 800), xlabel="metres")
        axes.set_title(title, loc="left")
    figure.colorbar(image, ax=[left, right], shrink=0.75, label="SINR (dB)")
    middle = covered & (cell == 0)
    for (load_, values), colour in zip(maps.items(), (BLUE, GREEN, AMBER, ORANGE), strict=True):
        ordered = np.sort(values[middle])
        below.plot(ordered, np.linspace(0.0, 1.0, len(ordered)), color=colour, label=f"{load_:g}")
    below.set(xlim=(-15.0, 65.0), ylim=(0.0, 1.0), xlabel="SINR (dB)")
    below.set_title("middle cell: part of places below", loc="left")
    below.legend(title="load", loc="lower right")


def _gains(xy: Floats, stations_xy: Floats) -> MeanGains:
    steps = Steps(len(xy), Still(xy), math.inf)
    return MeanGains(GRID, steps, build_stations(GRID, steps, stations_xy), seed=5)


def _sinr_db(gains: MeanGains, cell: NDArray[np.integer], load: float, snr: float) -> Floats:
    """SINR in the downlink of each client's own cell, without small-scale fading. [clients]"""
    interference, first = Interference(gains, load, {"downlink": snr}), np.zeros(1, np.int64)
    ratio = np.empty(len(cell))
    for station in range(len(gains.stations)):
        mine = np.flatnonzero(cell == station)
        ratio[mine] = (
            snr
            * gains.gain(station, mine, first)
            / interference.rise("downlink", station, mine, first)
        )[:, 0]
    return 10.0 * np.log10(ratio)


class _Straight:
    """A client that drives past two stations at 10 m/s."""

    mean_speed_mps = 10.0

    def positions_m(self, clients: NDArray[np.integer], t_s: float) -> Floats:
        return np.broadcast_to([10.0 * t_s - 200.0, 60.0], (len(clients), 2))


def handover(figure: Figure) -> None:
    """Mean gain to two stations along a street, and who serves by either association."""
    upper, lower = figure.subplots(2, 1, sharex=True, height_ratios=(4, 1))
    stations_xy = np.array([[0.0, 0.0], [1000.0, 0.0]])
    steps = Steps(1, _Straight(), 1.0)
    numbers, who = np.arange(140), np.zeros(1, np.int64)
    colours = np.array([BLUE, ORANGE])
    for association, height, line in (("nearest", 1.0, "--"), ("strongest", 0.0, ":")):
        config = GRID.model_copy(update={"association": association, "mobility": DRIVE})
        gains = MeanGains(config, steps, build_stations(config, steps, stations_xy), seed=11)
        serving = np.array([gains.serving(who, number)[0] for number in numbers])
        lower.bar(
            numbers, 0.7, 1.0, height - 0.35, align="edge", color=colours[serving], linewidth=0
        )
        for change in numbers[1:][np.diff(serving) != 0]:
            upper.axvline(change, color=GREY, linewidth=1.3, linestyle=line, zorder=1)
    for cell, colour in enumerate(colours):
        decibels = 10.0 * np.log10(gains.gain(cell, who, numbers)[0])
        upper.step(numbers, decibels, where="post", color=colour, label=f"station {cell}")
    upper.set_ylabel("mean gain (dB)")
    upper.set_ylim(-175.0, -72.0)
    upper.legend(loc="lower left", ncols=2)
    lower.set_yticks([1, 0], ["nearest", "strongest"])
    lower.set_ylim(-0.6, 1.6)
    lower.set_xlim(0.0, 140.0)
    lower.grid(visible=False)
    lower.set_xlabel("time (s)")


def topology_map(path: Path) -> None:
    """The map of scenarios/valley.yaml."""
    scenario = load(SCENARIOS / "valley.yaml")
    draw_network(scenario.network, scenario.devices.count, scenario.seed, path)


PICTURES: dict[str, tuple[Callable[[Figure], None], tuple[float, float]]] = {
    "mobility": (mobility, (9.0, 8.6)),
    "sinr": (sinr, (12.0, 4.4)),
    "handover": (handover, (9.0, 5.2)),
}

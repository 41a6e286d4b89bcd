"""Draw the pictures of docs/physics.md from the package's own models: `make pictures`.

Every curve is what the simulator computes, beside the formula it should follow. Equal code gives
equal files.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import matplotlib as mpl
import numpy as np
import simpy
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from place_pictures import PICTURES as PLACE_PICTURES
from place_pictures import topology_map
from scipy.special import j0

from wirelessfl.network.channel import build_channel
from wirelessfl.network.fading import FadingModel, fading_model
from wirelessfl.network.finish_together import equal_finish_time, work_conserving_time
from wirelessfl.network.link import Link
from wirelessfl.network.path_loss import environment, simple_loss_db
from wirelessfl.network.shadowing import gaussian_field, line_of_sight
from wirelessfl.network.sharing import sharing_rule
from wirelessfl.scenario.network import NetworkConfig, Uplink
from wirelessfl.scenario.radio import (
    FixedPathLoss,
    FreeSpacePathLoss,
    GilbertElliott,
    Jakes,
    LogDistancePathLoss,
    Nakagami,
    NoFading,
    NoShadowing,
    RayleighBlock,
    Rician,
    ShannonRate,
)
from wirelessfl.scenario.sharing import EqualFinish, EqualShare, WorkConserving
from wirelessfl.trace.plots import COLOURS, STYLE

Floats = NDArray[np.float64]

IMAGES = Path(__file__).parent / "images"
BLUE, ORANGE, GREEN, PINK, AMBER, SKY, BLACK = COLOURS
GREY = "#777777"
CARRIER_HZ = 3.5e9
LARGE: dict[Any, Any] = {"font.size": 12, "axes.titlesize": 12, "lines.linewidth": 1.8}


def path_loss(figure: Figure) -> None:
    """Loss of every model over ground distance, breakpoints marked."""
    axes = figure.subplots()
    offsets = {"rma": (16, -48, "right"), "uma": (4, -14, "left"), "umi": (4, -14, "left")}
    with_los, without = [], []
    for name, label, colour in (
        ("uma", "UMa", BLUE),
        ("umi", "UMi", ORANGE),
        ("rma", "RMa", GREEN),
        ("inh-open", "InH", PINK),
    ):
        table = environment(name)
        near, far = table.distance_range_m
        at = np.geomspace(near, far, 400)
        los_db = table.los_loss_db(at, CARRIER_HZ)
        nlos_db = table.nlos_loss_db(at, CARRIER_HZ)
        with_los += axes.plot(at, los_db, color=colour, label=f"{label} LOS")
        without += axes.plot(at, nlos_db, "--", color=colour, label=f"{label} NLOS")
        corner = np.array([table.breakpoint_m(CARRIER_HZ)])
        if name in offsets:
            x, y, side = offsets[name]
            loss_db = table.los_loss_db(corner, CARRIER_HZ)
            axes.plot(corner, loss_db, "o", color=colour, ms=9, mec="white", zorder=3)
            axes.annotate(
                f"$d_{{BP}}$ = {corner[0]:.0f} m",
                (corner[0], loss_db[0]),
                (x, y),
                textcoords="offset points",
                horizontalalignment=side,
                color=colour,
            )
    at = np.geomspace(1.0, 5000.0, 400)
    friis = simple_loss_db(FreeSpacePathLoss(), at, CARRIER_HZ)
    with_los += axes.plot(at, friis, ":", color=BLACK, label="free space")
    at = np.geomspace(35.0, 5000.0, 400)
    papers = simple_loss_db(LogDistancePathLoss(), at, CARRIER_HZ)
    without += axes.plot(at, papers, "-.", color=GREY, label="log-distance")
    axes.set_xscale("log")
    axes.set_xlim(1.0, 5000.0)
    axes.set_ylim(40.0, 180.0)
    axes.set_xticks([1, 10, 100, 1000, 5000], ["1 m", "10 m", "100 m", "1 km", "5 km"])
    axes.set_xlabel("ground distance")
    axes.set_ylabel("path loss at 3.5 GHz (dB)")
    axes.legend(handles=with_los + without, loc="upper left", ncols=2, handlelength=2.4)


def fading_autocorrelation(figure: Figure) -> None:
    """Correlation of the power gain over a lag, measured over clients, and what it should be."""
    axes, clients = figure.subplots(), 40_000
    doppler_hz = 1.0
    coherence_s = 0.423 / doppler_hz
    lags_s = np.arange(0.0, 2.001, 0.05) / doppler_hz
    fine = np.linspace(0.0, 2.0, 800)
    bessel = j0(2.0 * np.pi * fine) ** 2
    axes.plot(fine, bessel, color=BLACK, label="$J_0^2(2\\pi f_D\\tau)$, Gaussian process")
    axes.plot(
        fine,
        bessel - 1 / 16,
        ":",
        color=BLACK,
        label="$J_0^2(2\\pi f_D\\tau) - 1/16$, eight sinusoids",
    )
    triangle = np.maximum(1.0 - fine / (coherence_s * doppler_hz), 0.0)
    axes.plot(
        fine, triangle, "--", color=GREY, label="$1-\\tau/T_c$, block of $T_c$ = 0.423 / $f_D$"
    )
    for config, label, colour, marker in (
        (Jakes(coherence_time_s=coherence_s, slot_s=0.01), "jakes", BLUE, "o"),
        (RayleighBlock(coherence_time_s=coherence_s), "rayleigh_block", ORANGE, "s"),
        (Nakagami(coherence_time_s=coherence_s, m=3.0), "nakagami, m = 3", GREEN, "^"),
    ):
        model = fading_model(config, CARRIER_HZ, clients, seed=1)
        covariance = _covariance(model, clients, lags_s)
        variance = covariance[0] if label.startswith("nakagami") else 1.0
        axes.plot(
            lags_s * doppler_hz,
            covariance / variance,
            marker,
            color=colour,
            markersize=6,
            markeredgecolor="white",
            label=f"{label} (measured)",
        )
    axes.set_xlim(0.0, 2.0)
    axes.set_xlabel("lag times Doppler frequency, $f_D\\tau$")
    axes.set_ylabel("correlation of the power gain")
    axes.legend(loc="upper right")


def _covariance(model: FadingModel, clients: int, lags_s: Floats) -> Floats:
    """Mean over clients of (g(t) - 1) (g(t + lag) - 1), at random starts t. [lags]"""
    everyone, starts_s = np.arange(clients), np.random.default_rng(2).uniform(0.0, 50.0, 800)
    products = []
    for part, start_s in zip(np.array_split(everyone, len(starts_s)), starts_s, strict=True):
        slots = np.floor((start_s + lags_s) / model.slot_s).astype(np.int64)
        deviation = model.gain("uplink", part, slots) - 1.0
        products.append(deviation[:, :1] * deviation)
    covariance: Floats = np.concatenate(products).mean(axis=0)
    return covariance


def rates_over_time(figure: Figure) -> None:
    """One client's rate over ten seconds under several kinds of fading; the rest is the same."""
    rows = (
        ("rayleigh_block, $T_c$ = 1 s", RayleighBlock(coherence_time_s=1.0)),
        ("rayleigh_block, $T_c$ = 50 ms", RayleighBlock(coherence_time_s=0.05)),
        ("jakes, $T_c$ = 1 s (0.04 m/s)", Jakes(coherence_time_s=1.0, slot_s=0.02)),
        ("jakes, $T_c$ = 50 ms (0.7 m/s)", Jakes(coherence_time_s=0.05)),
        ("rician, K = 9 dB, $T_c$ = 0.25 s", Rician(coherence_time_s=0.25, k_factor_db=9.0)),
        ("nakagami, m = 4, $T_c$ = 0.25 s", Nakagami(coherence_time_s=0.25, m=4.0)),
        ("gilbert_elliott, 2 s good, 0.5 s bad", GilbertElliott(mean_good_s=2.0, mean_bad_s=0.5)),
    )
    all_axes = figure.subplots(len(rows), 1, sharex=True, sharey=True)
    for axes, (label, fading), colour in zip(all_axes, rows, COLOURS, strict=True):
        channel = build_channel(
            NetworkConfig(
                path_loss=FixedPathLoss(loss_db=122.0), shadowing=NoShadowing(), fading=fading
            ),
            clients=1,
            seed=4,
        )
        slots = np.arange(math.ceil(10.0 / channel.slot_s) + 1)
        rate = channel.rate_bps("uplink", np.zeros(1, np.int64), slots, np.array([1e6]))[0]
        axes.step(slots * channel.slot_s, rate / 1e6, where="post", color=colour, linewidth=1.2)
        axes.set_title(label, loc="left", pad=3)
        axes.axhline(rate.mean() / 1e6, color=GREY, linewidth=0.8, linestyle=(0, (1, 2)))
    all_axes[-1].set_xlim(0.0, 10.0)
    all_axes[-1].set_ylim(0.0, 5.7)
    all_axes[-1].set_yticks([0, 2, 4])
    all_axes[-1].set_xlabel("simulated time (s)")
    figure.supylabel("rate of 1 MHz (Mbit/s)")


def shadowing(figure: Figure) -> None:
    """Correlation of the field against Gudmundson's law, the field, and who sees the station."""
    left, middle, right = figure.subplots(1, 3, width_ratios=(1.15, 1, 1))
    steps = np.linspace(0.0, 3.0, 25)
    for decorrelation_m, colour, marker in ((50.0, BLUE, "o"), (13.0, ORANGE, "s")):
        xy = np.random.default_rng(1).uniform(-2000.0, 2000.0, (600, 2))
        products = np.zeros_like(steps)
        for seed in range(60):
            here = gaussian_field(seed, "shadowing", 0, xy, decorrelation_m)
            for i, step in enumerate(steps):
                moved = xy + np.array([step * decorrelation_m, 0.0])
                there = gaussian_field(seed, "shadowing", 0, moved, decorrelation_m)
                products[i] += np.mean(here * there) / 60
        left.plot(
            steps,
            products,
            marker,
            color=colour,
            markersize=6,
            markeredgecolor="white",
            label=f"measured, {decorrelation_m:.0f} m",
        )
    left.plot(steps, np.exp(-steps), color=BLACK, label="$e^{-d/d_{corr}}$", zorder=1)
    left.set_xlim(0.0, 3.0)
    left.set_ylim(0.0, 1.04)
    left.set_xlabel("distance over $d_{corr}$")
    left.set_title("correlation", loc="left")
    left.legend(loc="upper right")

    side = np.linspace(-300.0, 300.0, 301)
    xy = np.stack(np.meshgrid(side, side), axis=-1).reshape(-1, 2)
    table, extent = environment("uma"), (-300.0, 300.0, -300.0, 300.0)
    field = 6.0 * gaussian_field(3, "shadowing.nlos", 0, xy, table.nlos["decorrelation_m"])
    image = middle.imshow(
        field.reshape(301, 301), "PuOr", extent=extent, origin="lower", vmin=-15.0, vmax=15.0
    )
    middle.set_title("UMa NLOS shadowing (dB)", loc="left")
    figure.colorbar(image, ax=middle, shrink=0.8, ticks=[-12, -6, 0, 6, 12])
    ground_m = np.hypot(*xy.T)
    sees = line_of_sight(
        3, 0, xy, table.los_decorrelation_m, table.probability_of_los(np.maximum(ground_m, 1.0))
    )
    right.imshow(
        sees.reshape(301, 301),
        mpl.colors.ListedColormap(["#E8E8E8", SKY]),
        extent=extent,
        origin="lower",
    )
    right.plot(0.0, 0.0, "^", color=BLACK, markersize=9)
    right.set_title("UMa line of sight (blue)", loc="left")
    for axes in (middle, right):
        axes.grid(visible=False)
        axes.set_xticks([-200, 0, 200])
        axes.set_yticks([-200, 0, 200])
        axes.set_xlabel("metres")


# Four clients: when each is ready, and how long its upload takes with the whole uplink to itself.
READY_S = np.array([0.0, 0.8, 1.6, 3.2])
ALONE_S = np.array([1.6, 0.6, 2.0, 1.2])
UPLINK_HZ = 1e6


def sharing(figure: Figure) -> None:
    """What each of four uploads gets through under each rule, and when the round ends."""
    rules = (EqualShare(), EqualFinish(), WorkConserving())
    modes = ("per_rb", "total")
    grid = figure.subplots(len(rules), len(modes), sharex=True, sharey="col")
    for column, mode in enumerate(modes):
        for row, config in enumerate(rules):
            axes = grid[row, column]
            end_s = _draw_uploads(axes, config, mode)
            axes.set_title(f"{config.kind}: {end_s:.2f} s", loc="left")
            if mode == "per_rb" and config.kind != "equal_share":
                closed = (
                    equal_finish_time if config.kind == "equal_finish" else work_conserving_time
                )
                assert math.isclose(end_s, closed(ALONE_S, READY_S, 1.0), rel_tol=1e-6)
            axes.axvline(end_s, color=BLACK, linewidth=1.2)
        grid[-1, column].set_xlabel("seconds since the round began")
    for axes, mode in zip(grid[0], ("per_rb: rate linear in share", "total: concave"), strict=True):
        axes.text(0.5, 1.22, f"power_mode {mode}", ha="center", transform=axes.transAxes)
    grid[0, 0].set_xlim(0.0, 7.5)
    figure.supylabel("throughput (Mbit/s)")
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))


def _draw_uploads(axes: Axes, config: Any, mode: Any) -> float:
    """Stack the clients' throughput over time; returns when the last is done."""
    n = len(READY_S)
    channel = build_channel(
        NetworkConfig(
            path_loss=FixedPathLoss(loss_db=130.0),
            shadowing=NoShadowing(),
            fading=NoFading(),
            rate=ShannonRate(),
            uplink=Uplink(bandwidth_hz=UPLINK_HZ, power_mode=mode),
        ),
        clients=n,
        seed=0,
    )
    whole = channel.rate_bps("uplink", np.arange(n), np.zeros(1, np.int64), np.full(n, UPLINK_HZ))
    environment_ = simpy.Environment()
    link = Link(environment_, channel, "uplink", UPLINK_HZ, sharing_rule(config))
    transfer = link.submit(np.arange(n), ALONE_S * whole[:, 0], READY_S)
    times_s, sent = np.arange(0.01, 7.5, 0.01), []
    finish_s = transfer.finish_s
    for time_s in times_s:
        environment_.run(until=time_s)
        sent.append(transfer.sent_bits / 1e6)
    mbps = np.diff(np.array(sent), axis=0).T / 0.01
    base = np.zeros(mbps.shape[1])
    for client, colour in enumerate((BLUE, ORANGE, GREEN, AMBER)):
        top = base + mbps[client]
        label = f"client {client + 1}"
        axes.fill_between(times_s[1:], base, top, color=colour, linewidth=0, label=label)
        base = top
        axes.plot(READY_S[client], 0, "^", color=colour, markersize=9, markeredgecolor="white",
                  clip_on=False, zorder=5)  # fmt: skip
    if config.kind == "equal_finish":
        _hatch_reserved(axes, times_s[1:], base)
    return float(finish_s.max())


def _hatch_reserved(axes: Axes, times_s: Floats, used: Floats) -> None:
    """Mark what idles although somebody holds it."""
    full = used[used > 0].max()
    idle = (used < full * 0.999) & (used > 0)
    axes.fill_between(
        times_s, used, full, where=idle, facecolor="none", edgecolor=GREY, hatch="///", linewidth=0
    )


PICTURES: dict[str, tuple[Callable[[Figure], None], tuple[float, float]]] = {
    "path-loss": (path_loss, (8.0, 5.4)),
    "fading-autocorrelation": (fading_autocorrelation, (8.0, 4.6)),
    "rates-over-time": (rates_over_time, (8.0, 8.4)),
    "shadowing": (shadowing, (11.0, 3.8)),
    "sharing": (sharing, (9.0, 6.4)),
    **PLACE_PICTURES,
}
MAPS = {"topology": topology_map}  # drawn by the package, in its own style and size


def main() -> None:
    """Write every picture into docs/images."""
    for name, (draw, size) in PICTURES.items():
        with mpl.rc_context(STYLE | LARGE):
            figure = Figure(figsize=size, layout="constrained")
            draw(figure)
            path = IMAGES / f"physics-{name}.png"
            figure.savefig(path, dpi=150, metadata={"Software": None})
        print(path)
    for name, draw_map in MAPS.items():
        path = IMAGES / f"physics-{name}.png"
        with TemporaryDirectory() as folder:
            drawn = Path(folder) / path.name
            draw_map(drawn)  # and an SVG, which the page does not show
            shutil.copyfile(drawn, path)
        print(path)


if __name__ == "__main__":
    main()

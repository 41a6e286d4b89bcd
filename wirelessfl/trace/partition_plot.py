"""A picture of who holds what: a bar of samples for each client, its classes in colours."""

from __future__ import annotations

from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from wirelessfl.trace.plots import COLOURS, STYLE, save_figure

# What ten classes take beside Okabe and Ito's seven: three that stay apart from them in brightness.
_PALETTE = (*COLOURS[:6], "#882255", "#F0E442", "#999999", COLOURS[6])
_OTHER = "#DDDDDD"
_NUMBERED = 60  # clients at most whose numbers are shown and whose bars stand apart
_LONGEST_NAME = 24


def plot_partition(holdings: pd.DataFrame, path: Path) -> None:
    """Draw what each client holds, as PNG with SVG beside it.

    Of more than ten classes the nine largest have a colour. Many clients are sorted by size, few
    keep their order.

    Args:
        holdings: The holdings table of a trace.
        path: Where to write; the suffix is replaced by .png and .svg.

    Raises:
        ValueError: If it has no rows.
    """
    if holdings.empty:
        raise ValueError("plot_partition: nobody holds anything")
    names, counts = _stacks(holdings)
    clients, many = counts.shape[1], counts.shape[1] > _NUMBERED
    numbers = holdings["client"].unique()
    if many:
        counts = counts[:, np.argsort(-counts.sum(axis=0), kind="stable")]
    with mpl.rc_context(STYLE | {"axes.grid.axis": "y"}):
        figure = Figure(figsize=(7.2, 4.2), layout="constrained")
        axes = figure.subplots()
        colours = [_OTHER if of is None else _PALETTE[i] for i, of in enumerate(names)]
        edges = np.arange(clients + 1) - 0.5
        top = np.vstack([np.zeros(clients, np.int64), counts.cumsum(axis=0)])
        for low, high, colour in zip(top, top[1:], colours, strict=False):
            if many:  # one shape a class, however many clients
                axes.stairs(high, edges, baseline=low, fill=True, color=colour, linewidth=0.1)
            else:
                axes.bar(
                    np.arange(clients),
                    high - low,
                    0.8,
                    low,
                    color=colour,
                    edgecolor="white",
                    linewidth=0.4,
                )
        axes.set_xlim(-0.8, clients - 0.2)
        axes.set_ylim(0, 1.05 * top[-1].max())
        axes.set_ylabel("training samples")
        axes.set_xlabel(f"{clients} clients, the largest first" if many else "client")
        if clients <= 20:
            axes.set_xticks(np.arange(clients), [str(number) for number in numbers])
        else:
            axes.xaxis.set_major_locator(MaxNLocator(nbins=10, integer=True))
        axes.tick_params(axis="x", length=0)
        other = holdings["class"].nunique() - len(names) + 1
        labels = [f"{other} others" if name is None else _label(name) for name in names]
        columns = max(1, min(len(labels), int(100 / (max(map(len, labels)) + 7))))
        figure.legend(
            [Patch(color=colour) for colour in colours],
            labels,
            loc="outside lower center",
            ncols=columns,
            handlelength=1.0,
            columnspacing=1.4,
        )
        save_figure(figure, path)


def _stacks(holdings: pd.DataFrame) -> tuple[list[str | None], NDArray[np.int64]]:
    """Names of the stacked parts, None for all others together, and samples `[parts, clients]`."""
    client, _ = pd.factorize(holdings["client"], sort=True)
    label, found = pd.factorize(holdings["class"])
    order = sorted(range(len(found)), key=lambda i: _order(str(found[i])))
    if len(found) > len(_PALETTE):
        totals = np.bincount(label, holdings["samples"])
        order = sorted(order, key=lambda i: -totals[i])[: len(_PALETTE) - 1]
    part = np.full(len(found), len(order))  # the last is all others
    part[order] = np.arange(len(order))
    parts, clients = int(part.max()) + 1, int(client.max()) + 1
    counts = np.bincount(part[label] * clients + client, holdings["samples"], parts * clients)
    names: list[str | None] = [str(found[i]) for i in order]
    names += [None] * (parts - len(order))
    return names, counts.reshape(parts, clients).astype(np.int64)


def _order(name: str) -> tuple[int, str]:
    """Numbers as numbers, then names."""
    return (int(name), "") if name.isdecimal() else (2**31, name)


def _label(name: str) -> str:
    """The name as a legend can say it: not too long, and no mathematics."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return short.replace("$", r"\$")

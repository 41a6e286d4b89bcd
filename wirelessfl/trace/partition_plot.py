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
        bottom = np.zeros(clients)
        colours = [_OTHER if of is None else _PALETTE[i] for i, of in enumerate(names)]
        for row, colour in zip(counts, colours, strict=True):
            axes.bar(
                np.arange(clients),
                row,
                1.0 if many else 0.8,
                bottom,
                color=colour,
                edgecolor=colour if many else "white",
                linewidth=0.1 if many else 0.4,
            )
            bottom += row
        axes.set_xlim(-0.8, clients - 0.2)
        axes.set_ylim(0, 1.05 * bottom.max())
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
    table = holdings.pivot_table(
        index="class", columns="client", values="samples", aggfunc="sum", fill_value=0
    ).sort_index(key=lambda index: index.map(_order))
    names: list[str | None] = [str(name) for name in table.index]
    counts: NDArray[np.int64] = table.to_numpy(np.int64)
    if len(names) > len(_PALETTE):
        largest = np.argsort(-counts.sum(axis=1), kind="stable")
        shown, rest = largest[: len(_PALETTE) - 1], largest[len(_PALETTE) - 1 :]
        names = [*(names[i] for i in shown), None]
        counts = np.vstack([counts[shown], counts[rest].sum(axis=0)])
    return names, counts


def _order(name: str) -> tuple[int, str]:
    """Numbers as numbers, then names."""
    return (int(name), "") if name.isdecimal() else (2**31, name)


def _label(name: str) -> str:
    """The name as a legend can say it: not too long, and no mathematics."""
    short = name if len(name) <= _LONGEST_NAME else f"{name[: _LONGEST_NAME - 1]}…"
    return short.replace("$", r"\$")

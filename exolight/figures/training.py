"""How a training went: one small plot a quantity, epochs along the bottom."""

import math

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from exolight.figures.style import LINE_STYLES, PALETTE, legend, new_figure, say, tidy

_COLUMNS = 3
_TOGETHER = {  # plots that hold several columns; everything else under train/ and val/ has a plot of its own
    "average precision": ("val/map", "val/map_50", "val/map_75"),
    "at the operating point": ("val/precision", "val/recall", "val/f1"),
}


def results_figure(table: pd.DataFrame) -> Figure:
    """Small multiples of a table with a row an epoch (``results.csv``).

    A loss ``train/box`` is drawn with ``val/box`` where there is one; columns named ``lr...`` share a plot; other numbers get one each. Rows are
    counted from ``epoch`` where that column exists. Missing columns, gaps (NaN: not scored in that epoch) and a single epoch are all fine.
    """
    numbers = table.select_dtypes("number").dropna(axis="columns", how="all")
    epochs = numbers.pop("epoch").to_numpy(float) if "epoch" in numbers else np.arange(len(numbers), dtype=float)
    panels = _panels([str(name) for name in numbers.columns if name != "step"])
    if not panels:
        figure = new_figure(1.6)
        axes = figure.subplots()
        tidy(axes, "training")
        say(axes, "no epoch has been recorded")
        return figure
    rows = math.ceil(len(panels) / _COLUMNS)
    figure = new_figure(0.3 + 1.75 * rows)
    grid = figure.subplots(rows, _COLUMNS, squeeze=False).ravel()
    for axes, (title, columns) in zip(grid, panels.items(), strict=False):
        for k, column in enumerate(columns):
            _line(axes, epochs, numbers[column].to_numpy(float), label=_label(column, title), order=k)
        tidy(axes, title, "epoch")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=5, min_n_ticks=1))
        if len(columns) > 1 or title in _TOGETHER:
            legend(axes)
        if title in _TOGETHER:
            axes.set_ylim(-0.02, 1.02)
    for axes in grid[len(panels) :]:
        axes.set_axis_off()
    return figure


def _panels(names: list[str]) -> dict[str, list[str]]:
    """Title -> columns: losses first, then scores, then the learning rate, then what is left."""
    panels: dict[str, list[str]] = {}
    for name in names:
        if name.startswith("train/"):
            twin = "val/" + name.removeprefix("train/")
            panels[f"{name.removeprefix('train/')} loss".replace("loss loss", "loss")] = [name, twin] if twin in names else [name]
    for title, columns in _TOGETHER.items():
        if found := [column for column in columns if column in names]:
            panels[title] = found
    if rates := [name for name in names if name.split("/")[0].split("-")[0] == "lr"]:
        panels["learning rate"] = rates
    shown = {column for columns in panels.values() for column in columns}
    return panels | {name.replace("_", " "): [name] for name in names if name not in shown}


def _label(column: str, title: str) -> str:
    """What tells a column apart from the others of its plot."""
    if title.endswith("loss"):
        return column.split("/")[0]
    return column.removeprefix("val/").replace("map_", "mAP").replace("map", "mAP")


def _line(axes: Axes, epochs: NDArray[np.float64], values: NDArray[np.float64], label: str, order: int) -> None:
    """One line through the finite values; a few points are marked, since a line through one point is invisible."""
    finite = np.isfinite(values) & np.isfinite(epochs)
    marker = "o" if finite.sum() <= 12 else ""
    colour, style = PALETTE[order % len(PALETTE)], LINE_STYLES[order % len(LINE_STYLES)]
    axes.plot(epochs[finite], values[finite], color=colour, linestyle=style, linewidth=1.3, marker=marker, markersize=3, label=label)

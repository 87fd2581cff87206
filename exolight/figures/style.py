"""The look all figures share, and how a figure becomes a file. Object-oriented matplotlib only: no pyplot state, no display, safe in any process."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from numpy.typing import NDArray

WIDTH_INCH = 6.7  # 17 cm, the text width of an A4 page
DPI = 150

# Okabe and Ito, "Color Universal Design" (2008), https://jfly.uni-koeln.de/color/: told apart by all kinds of colour vision. Yellow, too pale for a
# thin line on white, comes last.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#56B4E9", "#E69F00", "#000000", "#F0E442")
GREY = "#8A8A8A"
LINE_STYLES = ("-", "--", ":", "-.")  # a second mark besides the colour, for black-and-white print

_FONT_SIZE = 8


def new_figure(height_inch: float, dpi: int = DPI) -> Figure:
    """An empty figure of text width with an Agg canvas, laid out so that nothing is cut off."""
    figure = Figure(figsize=(WIDTH_INCH, height_inch), dpi=dpi, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def tidy(axes: Axes, title: str = "", xlabel: str = "", ylabel: str = "") -> None:
    """Small type, no box round the plot, a faint grid."""
    axes.set_title(title, fontsize=_FONT_SIZE + 1, loc="left")
    axes.set_xlabel(xlabel, fontsize=_FONT_SIZE)
    axes.set_ylabel(ylabel, fontsize=_FONT_SIZE)
    axes.tick_params(labelsize=_FONT_SIZE - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.6)
    axes.set_axisbelow(True)


def legend(axes: Axes, loc: Literal["best", "lower left"] = "best") -> None:
    """A legend in small type without a frame."""
    axes.legend(fontsize=_FONT_SIZE - 1, frameon=False, handlelength=1.8, loc=loc)


def say(axes: Axes, text: str) -> None:
    """Put a sentence in the middle of a plot that has nothing to show, and take away its meaningless scales."""
    axes.set_xticks([])
    axes.set_yticks([])
    axes.text(0.5, 0.5, text, transform=axes.transAxes, ha="center", va="center", fontsize=_FONT_SIZE, color="#555555")


def for_picture(axes: Axes) -> None:
    """Make a plot the place of a picture: no frame, no scales (nor the time it takes to lay out hidden ones), at the top of its cell."""
    axes.set_axis_off()
    axes.set(xticks=[], yticks=[])
    axes.set_anchor("N")  # else the layout leaves titles too little room


def row_aspects(pictures: Sequence[NDArray[np.uint8]], columns: int) -> list[float]:
    """Height over width to reserve for each row of pictures (H, W) or (H, W, 3), ``columns`` in a row: that of its tallest one, within reason."""
    aspects = [picture.shape[0] / picture.shape[1] for picture in pictures]
    return [min(max(*aspects[k : k + columns], 0.4), 1.6) for k in range(0, len(aspects), columns)]


def shorten(name: str, longest: int) -> str:
    """A name of at most ``longest`` characters: the middle goes, since beginnings and ends tell pictures apart. '$' is shown, not read as a formula."""
    kept = max(longest - 1, 2)
    short = name if len(name) <= longest else f"{name[: kept // 2]}…{name[-(kept - kept // 2) :]}"
    return short.replace("$", r"\$")


def save(figure: Figure, path: Path) -> None:
    """Write ``figure`` as the PNG ``path`` and, beside it, as an SVG. Files appear complete or not at all; missing folders are made.

    In the SVG text is text and lines are lines; pictures are embedded at ``DPI``, what a printer needs of grey ones.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kinds: dict[str, dict[str, Any]] = {
        "png": {"pil_kwargs": {"compress_level": 1}},  # four times as fast as the default, and hardly larger: grain cannot be compressed
        "svg": {"dpi": DPI, "metadata": {"Date": None}},
    }
    try:
        if (layout := figure.get_layout_engine()) is not None:  # once, not with every drawing
            layout.execute(figure)
            figure.set_layout_engine(None)
        for kind, settings in kinds.items():
            file = path.with_suffix(f".{kind}")
            unfinished = file.with_name(f".{file.name}.{os.getpid()}.tmp")
            try:
                with rc_context({"svg.fonttype": "none", "svg.hashsalt": "exolight"}):  # the same figure makes the same file
                    figure.savefig(unfinished, format=kind, **settings)
                unfinished.replace(file)
            finally:
                unfinished.unlink(missing_ok=True)
    finally:
        FigureCanvasAgg(figure)  # a new canvas: the old one held all pixels

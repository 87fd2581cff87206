"""The scale bars' benchmark: its truth, its verdicts, and the finder on a few simulated pictures."""

import dataclasses
import sys
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageDraw

from exolight.micrograph import Micrograph, ScaleBar, find_scale_bar

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, no package
import scale_bars


@pytest.mark.parametrize("seed", range(12))
def test_the_truth_is_what_the_simulator_draws(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    drawn: list[tuple[float, ...]] = []
    draw = ImageDraw.ImageDraw.rectangle

    def rectangle(pen: ImageDraw.ImageDraw, box: tuple[float, ...], fill: int) -> None:
        drawn.append(box)
        draw(pen, box, fill=fill)

    monkeypatch.setattr(ImageDraw.ImageDraw, "rectangle", rectangle)
    bar = scale_bars.drawn_bar(seed, (512, 700), 1.3)
    ((left, _, right, _),) = drawn
    assert (bar.x1, bar.length) == (left, right + 1 - left)
    assert bar.length == round(bar.length_nm / 1.3)


def test_verdicts() -> None:
    drawn = scale_bars.Drawn(50, 200, 100, True)
    bar = ScaleBar(201.0, (49.5, 90.0, 250.5, 94.0), "100 nm", 100.0, None, 0.9)
    unread = dataclasses.replace(bar, label=None, length_nm=None)
    elsewhere = dataclasses.replace(bar, box_xyxy=(300.0, 90.0, 501.0, 94.0))
    for found, truth, words in (
        (bar, drawn, "bar and label right"),
        (dataclasses.replace(bar, length_nm=200.0), drawn, "wrong nm per pixel"),
        (dataclasses.replace(bar, length_px=206.0), drawn, "wrong nm per pixel"),
        (elsewhere, drawn, "wrong nm per pixel"),
        (dataclasses.replace(elsewhere, length_nm=None), drawn, "another bar found"),
        (unread, drawn, "bar right, label not read"),
        (unread, drawn._replace(labelled=False), "bar right, it has no label"),
        (None, drawn, "bar missed"),
        (None, None, "none, none found"),
        (unread, None, "none, but one found"),
        (bar, None, "none, but nm per pixel given"),
    ):
        assert scale_bars.verdict(found, truth) == words


def test_simulated_bars_are_found_and_never_read_wrongly() -> None:
    def marked(index: int, marks: int | None) -> NDArray[np.generic]:
        made = scale_bars.picture(scale_bars.preset_ranges("default"), (512, 512), (1.2, 1.2), 7, index)
        made.instrument = dataclasses.replace(made.instrument, marks=marks)
        return made.pixels()

    said = [scale_bars.verdict(find_scale_bar(Micrograph(marked(i, i))), scale_bars.drawn_bar(i, (512, 512), 1.2)) for i in range(8)]
    assert sum(each.startswith("bar") and each != "bar missed" for each in said) >= 7
    assert "wrong nm per pixel" not in said
    assert all(find_scale_bar(Micrograph(marked(i, None))) is None for i in range(4))

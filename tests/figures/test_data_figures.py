"""Figures of a data set that nothing has learned from yet: they show the numbers they were given, and something where there are none."""

import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from exolight.figures.data import image_sizes_figure, labels_correlogram_figure


def drawn(figure: Figure) -> list[Axes]:
    figure.canvas.draw()
    return [axes for axes in figure.axes if axes.get_visible()]


def test_the_correlogram_shows_places_and_sizes_as_shares() -> None:
    """Eight boxes of 20 x 30 px in the lower left quarter of a picture of 200 x 100 px, and one in a square one."""
    boxes = [np.tile(np.array([40, 60, 60, 90], np.float32), (8, 1)), np.array([[0, 0, 50, 100]], np.float32), np.zeros((0, 4), np.float32)]
    axes = drawn(labels_correlogram_figure(boxes, [(100, 200), (100, 100), (50, 50)]))
    assert len(axes) == 10  # lower triangle and diagonal of four quantities
    assert [each.get_xlabel() for each in axes[-4:]] == ["x", "y", "width", "height"]
    bars = [[(patch.get_x() + patch.get_width() / 2, patch.get_height()) for patch in axes[k].patches if patch.get_height()] for k in (0, 2, 5, 9)]  # type: ignore[attr-defined]
    for found, expected in zip(bars, ([(0.25, 9)], [(0.5, 1), (0.75, 8)], [(0.1, 8), (0.5, 1)], [(0.3, 8), (1.0, 1)]), strict=True):
        assert [count for _, count in found] == [count for _, count in expected]
        np.testing.assert_allclose([value for value, _ in found], [value for value, _ in expected], atol=0.07)
    over = axes[1].images[0]  # y over x
    assert float(np.ma.sum(over.get_array())) == 9
    assert axes[1].get_ylim() == (1.0, 0.0)


def test_the_share_of_objects_narrower_than_a_width() -> None:
    sizes = {320: np.array([[2.0, 8.0], [40.0, 20.0], [10.0, 10.0], [5.0, 6.0]]), 640: np.array([[4.0, 16.0], [80.0, 40.0], [20.0, 20.0], [10.0, 12.0]])}
    (axes,) = drawn(image_sizes_figure(sizes, 3.0, 8.0))
    small, large, *marks = axes.lines
    assert small.get_label() == "image size 320"
    np.testing.assert_allclose(np.asarray(small.get_data(), float), [[2, 5, 10, 20], [0.25, 0.5, 0.75, 1]])
    np.testing.assert_allclose(np.asarray(large.get_data(), float)[0], [4, 10, 20, 40])
    assert [float(np.asarray(mark.get_xdata())[0]) for mark in marks] == [3, 8]
    assert axes.get_xlim()[0] <= 1


@pytest.mark.parametrize("figure", [labels_correlogram_figure([], []), image_sizes_figure({320: np.zeros((0, 2))}, 3, 8), image_sizes_figure({}, 3, 8)])
def test_nothing_is_said_to_be_nothing(figure: Figure) -> None:
    (axes,) = drawn(figure)
    assert "no objects" in [text.get_text() for text in axes.texts]

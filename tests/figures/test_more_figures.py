"""Figures of errors, sizes, thresholds and assignment: what is drawn is what was given, inside the figure, and nothing crashes on nothing."""

import itertools

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import Collection
from matplotlib.colors import to_rgb, to_rgba
from matplotlib.figure import Figure
from matplotlib.patches import StepPatch
from matplotlib.text import Text

from exolight.figures.assignment import assignment_figure
from exolight.figures.errors import confusion_matrix_figure, count_agreement_figure, reliability_figure, worst_figure
from exolight.figures.sizes import diameter_errors_figure, size_distribution_figure
from exolight.figures.style import PALETTE, WIDTH_INCH
from exolight.figures.thresholds import threshold_sweep_figure

pytestmark = pytest.mark.filterwarnings("error")
NONE = np.empty((0, 4))
NAN = float("nan")


def drawn(figure: Figure) -> Figure:
    """Draws it; asserts that it fits a page, that all of it lies inside, and that its letters can be read."""
    figure.set_dpi(72)
    figure.draw_without_rendering()
    width, height = figure.get_size_inches()
    assert width in (pytest.approx(WIDTH_INCH), pytest.approx(WIDTH_INCH / 2))
    assert height < 9.5
    ink = figure.get_tightbbox()
    assert ink.x0 > -0.01
    assert ink.y0 > -0.01
    assert ink.x1 < width + 0.01
    assert ink.y1 < height + 0.01
    assert all(text.get_fontsize() >= 5 for text in figure.findobj(Text) if isinstance(text, Text) and text.get_text() and text.get_visible())
    assert isinstance(figure.canvas, FigureCanvasAgg)
    return figure


def texts(figure: Figure) -> list[str]:
    found = [text.get_text() for text in figure.findobj(Text) if isinstance(text, Text)]
    return [text for text in found if text]


def steps(figure: Figure, axes: int) -> list[StepPatch]:
    """The outlines of the histograms of a plot."""
    return [patch for patch in figure.axes[axes].patches if isinstance(patch, StepPatch) and not patch.get_fill()]


def luminance(rgb: np.ndarray) -> float:
    return float(np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4) @ (0.2126, 0.7152, 0.0722))


def frames(collection: Collection) -> np.ndarray:
    """(N, 4) xyxy of a collection of rectangles."""
    return np.array([(*path.vertices.min(axis=0), *path.vertices.max(axis=0)) for path in collection.get_paths()]).reshape(-1, 4)


def picture(height: int = 60, width: int = 80) -> np.ndarray:
    return np.random.default_rng(0).integers(80, 140, (height, width)).astype(np.uint8)


@pytest.mark.parametrize("classes", [1, 2, 3, 12])
def test_confusion_matrix_says_its_counts_legibly(classes: int) -> None:
    counts = np.random.default_rng(0).integers(0, 999, (classes + 1, classes + 1))
    figure = drawn(confusion_matrix_figure(counts, ["a class with a $long$ name"] * classes))
    axes = figure.axes[0]
    cells = {tuple(text.get_position()): text for text in axes.texts}
    assert len(cells) == (classes + 1) ** 2 - 1
    colours = axes.images[0].to_rgba(axes.images[0].get_array())
    for (column, row), text in cells.items():
        assert text.get_text().split("\n")[0] == str(counts[row, column])
        shades = [to_rgb(text.get_color()), colours[row, column, :3]]
        dark, light = sorted(luminance(np.array(shade)) for shade in shades)
        assert (light + 0.05) / (dark + 0.05) > 4.5  # WCAG's contrast for small text
    for labels in (axes.get_xticklabels(), axes.get_yticklabels()):
        if classes < 6:  # turned ones overlap as rectangles only
            boxes = [label.get_window_extent() for label in labels]
            assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2))


def test_confusion_matrix_of_very_many_classes_is_colours_only() -> None:
    assert not drawn(confusion_matrix_figure(np.full((61, 61), 1000), ["a class"] * 60)).axes[0].texts


def test_confusion_matrix_is_coloured_by_column() -> None:
    figure = drawn(confusion_matrix_figure([[6, 1, 9], [3, 0, 1], [3, NAN, 500]], ["exosome", "other"], iou_threshold=0.3))
    np.testing.assert_allclose(figure.axes[0].images[0].get_array().filled(NAN), [[0.5, 1, 0.9], [0.25, 0, 0.1], [0.25, 0, NAN]])
    assert "6\n50 %" in texts(figure)
    assert "0.30" in figure.axes[0].get_title(loc="left")
    assert "500" not in "".join(texts(figure))


@pytest.mark.parametrize("classes", [0, 1])
def test_confusion_matrix_of_nothing(classes: int) -> None:
    assert "no objects and no detections" in texts(drawn(confusion_matrix_figure(np.zeros((classes + 1, classes + 1)), ["exosome"] * classes)))


def test_reliability_with_and_without_temperature() -> None:
    scores, shares = np.array([[0.2, NAN, 0.9], [0.3, 0.5, 0.8]]), np.array([[0.1, NAN, 0.7], [0.2, 0.4, 0.9]])
    counts = np.array([[3000, 0, 20], [1000, 1000, 1020]])
    figure = drawn(reliability_figure(scores, shares, counts, [0.081, 0.02], 1.37))
    lines = {str(line.get_label()): line for line in figure.axes[0].get_lines()}
    np.testing.assert_array_equal(lines["as given: ECE 0.081"].get_xydata(), [(0.2, 0.1), (0.9, 0.7)])
    np.testing.assert_array_equal(lines["temperature 1.37: ECE 0.020"].get_xydata(), np.column_stack((scores[1], shares[1])))
    np.testing.assert_array_equal(lines["perfect"].get_xydata(), [(0, 0), (1, 1)])
    for patch, numbers in zip(steps(figure, 1), counts, strict=True):
        np.testing.assert_array_equal(patch.get_data().values, numbers)
        np.testing.assert_allclose(patch.get_data().edges, [0, 1 / 3, 2 / 3, 1])


def test_reliability_of_one_kind_in_given_bins_and_of_nothing() -> None:
    figure = drawn(reliability_figure([0.2, 0.9], [0.1, 1.0], [5, 6], NAN, edges=[0, 0.7, 1]))
    np.testing.assert_array_equal(steps(figure, 1)[0].get_data().edges, [0, 0.7, 1])
    assert "as given: ECE unknown" in texts(figure)
    assert "temperature 0.80: ECE 0.100" in texts(drawn(reliability_figure([0.2], [0.1], [5], 0.1, 0.8)))
    assert "no detections" in texts(drawn(reliability_figure([NAN, NAN], [NAN, NAN], [0, 0], NAN)))


def test_count_agreement_by_hand() -> None:
    figure = drawn(count_agreement_figure([3, 5, 5, 9, 4], [4, 4, 4, 10, NAN]))
    left, right = figure.axes
    assert left.get_title(loc="left") == "4 pictures"
    np.testing.assert_array_equal(left.collections[0].get_offsets(), [(4, 3), (4, 5), (10, 9)])
    sizes = left.collections[0].get_sizes()
    np.testing.assert_allclose(sizes / sizes[0], [1, 2, 1])
    np.testing.assert_array_equal(right.collections[0].get_offsets(), [(3.5, -1), (4.5, 1), (9.5, -1)])
    spread = 1.96 * np.sqrt(4 / 3)  # differences -1, 1, 1, -1
    levels = sorted(float(np.asarray(line.get_ydata())[0]) for line in right.get_lines() if line.get_color() == PALETTE[1])
    np.testing.assert_allclose(levels, [-spread, 0, spread])
    assert {"bias\n0.0", "+1.96 SD\n2.3", "−1.96 SD\n−2.3"} <= set(texts(figure))
    assert not any(a.get_window_extent().overlaps(b.get_window_extent()) for a, b in itertools.combinations(right.texts, 2))


@pytest.mark.parametrize(("found", "true", "levels"), [([3], [5], 1), ([0, 0], [0, 0], 1), ([7, 8, 9], [7, 8, 9], 1), ([900, 1], [2, 1000], 3)])
def test_count_agreement_of_few_pictures(found: list[int], true: list[int], levels: int) -> None:
    right = drawn(count_agreement_figure(found, true)).axes[1]
    assert len(right.texts) == levels
    low, high = right.get_ylim()
    assert all(low < text.get_position()[1] < high for text in right.texts)


def test_count_agreement_of_no_pictures() -> None:
    assert texts(drawn(count_agreement_figure([], []))).count("no pictures") == 2
    assert texts(drawn(count_agreement_figure([NAN], [3]))).count("no pictures") == 2


def worst(pictures: int, missed: list[bool], false: list[bool], size: tuple[int, int] = (60, 80)) -> Figure:
    truth, found = np.array([(5.0, 5, 25, 25), (50, 30, 90, 70)]), np.array([(6.0, 6, 26, 26), (40, 2, 50, 12), (70, 50, 80, 60)])
    return worst_figure(
        [picture(*size)] * pictures,
        [truth] * pictures,
        [found] * pictures,
        [[0.9, NAN, 0.31]] * pictures,
        [missed] * pictures,
        [false] * pictures,
        ["a$b_1.tif"] * pictures,
    )


@pytest.mark.parametrize(("pictures", "size"), [(1, (60, 80)), (2, (90, 30)), (9, (30, 90))])
def test_worst_pictures_tell_missed_from_false(pictures: int, size: tuple[int, int]) -> None:
    figure = drawn(worst(pictures, [False, True], [False, True, True], size))
    shown = [axes for axes in figure.axes if axes.images]
    assert len(shown) == min(pictures, 6)
    right, missed, false = shown[0].collections
    np.testing.assert_allclose(frames(right), [(5.5, 5.5, 25.5, 25.5)])
    np.testing.assert_allclose(frames(missed), [(49.5, 29.5, 89.5, 69.5)])
    np.testing.assert_allclose(frames(false), [(39.5, 1.5, 49.5, 11.5), (69.5, 49.5, 79.5, 59.5)])
    assert missed.get_linestyle()[0][1] is not None
    assert false.get_linestyle()[0][1] is None
    assert len({tuple(c.get_edgecolor()[0]) for c in (right, missed, false)}) == 3
    assert shown[0].get_title().endswith(": 1 missed, 2 false")
    assert {"found", "missed", "false, with its score"} <= set(texts(figure))
    if size == (60, 80):
        assert {"0.31", "?"} <= {text.get_text() for text in shown[0].texts}


def test_worst_pictures_come_first_and_right_ones_not_at_all() -> None:
    images, boxes = [picture()] * 3, [np.array([(5.0, 5, 25, 25)]), NONE, np.array([(5.0, 5, 25, 25)] * 2)]
    figure = drawn(worst_figure(images, boxes, [NONE] * 3, [[]] * 3, [[True], [], [True, True]], [[]] * 3, ["one", "none", "two"]))
    assert [axes.get_title() for axes in figure.axes if axes.images] == ["two: 2 missed, 0 false", "one: 1 missed, 0 false"]
    assert "no picture has an error" in texts(drawn(worst(2, [False, False], [False] * 3)))
    assert "no pictures" in texts(drawn(worst(0, [], [])))


def test_sizes_are_counted_in_bins_at_multiples() -> None:
    figure = drawn(size_distribution_figure([12.0, 18, 31, NAN, -3, 0, np.inf], [20, 21, 44.9], bin_width=10))
    true, predicted = steps(figure, 0)
    np.testing.assert_array_equal(true.get_data().edges, [10, 20, 30, 40, 50])
    np.testing.assert_array_equal(true.get_data().values, [0, 2, 0, 1])
    np.testing.assert_array_equal(predicted.get_data().values, [2, 0, 1, 0])
    medians = [float(np.asarray(line.get_xdata())[0]) for line in figure.axes[0].get_lines()]
    assert medians == [21, 18]
    assert {"true: N = 3, median 21.0 nm", "predicted: N = 3, median 18.0 nm", "objects per 10 nm"} <= set(texts(figure))


@pytest.mark.parametrize(("count", "step"), [(30, 10), (4000, 5)])
def test_width_of_the_bins_follows_the_sample(count: int, step: float) -> None:
    diameters = np.exp(np.random.default_rng(0).normal(np.log(80), 0.35, count))
    figure = drawn(size_distribution_figure(diameters, log_normal=True))
    (outline,) = steps(figure, 0)
    numbers, edges, _ = outline.get_data()
    np.testing.assert_allclose(np.diff(edges), step)
    np.testing.assert_allclose(edges % step, 0)
    assert numbers.sum() == count
    curve = next(line for line in figure.axes[0].get_lines() if "log-normal" in str(line.get_label()))
    x, y = np.asarray(curve.get_xdata(), float), np.asarray(curve.get_ydata(), float)
    assert np.trapezoid(y, x) / step == pytest.approx(count, rel=0.1)  # the curve counts objects a bin, like the steps
    assert x[y.argmax()] == pytest.approx(80 * np.exp(-(0.35**2)), rel=0.15)  # the mode


@pytest.mark.parametrize("unit", ["nm", "px"])
@pytest.mark.parametrize(("predicted", "true"), [([50.0], None), (None, [50.0, 50.0]), ([30.0], []), ([3.0, 4.0, 1e7], [1.0])])
def test_sizes_where_one_is_missing(predicted: list[float] | None, true: list[float] | None, unit: str) -> None:
    figure = drawn(size_distribution_figure(predicted, true, unit, log_normal=True))
    assert len(steps(figure, 0)) == (1 if not predicted or not true else 2)
    assert sum(int(np.sum(patch.get_data().values)) for patch in steps(figure, 0)) == len(predicted or []) + len(true or [])
    assert ("no nm per pixel" in figure.axes[0].get_xlabel()) == (unit == "px")


def test_sizes_of_nothing() -> None:
    assert "no diameters" in texts(drawn(size_distribution_figure(None)))
    assert "no diameters" in texts(drawn(size_distribution_figure([], [NAN])))


def test_errors_of_diameters_by_size() -> None:
    """Small ones are measured 2 nm too large, large ones 4 nm too small, give or take what the quartiles show."""
    true = np.concatenate((np.full(20, 30.0), np.full(20, 100.0)))
    spread = np.tile([-1.0, -0.5, 0.5, 1.0], 10)
    figure = drawn(diameter_errors_figure(np.stack((true + np.where(true < 50, 2.0, -4.0) + spread, true), axis=1), "nm"))
    (axes,) = figure.axes
    points = np.asarray(axes.collections[0].get_offsets())
    np.testing.assert_allclose(points, np.stack((true, np.where(true < 50, 2.0, -4.0) + spread), axis=1))
    medians = next(line for line in axes.get_lines() if line.get_marker() == "s")
    np.testing.assert_allclose(np.asarray(medians.get_xydata()), [[30, 2], [100, -4]])
    bars = np.asarray(axes.containers[0][2][0].get_segments())  # type: ignore[index]
    np.testing.assert_allclose(bars[:, :, 1], [[1.375, 2.625], [-4.625, -3.375]])
    assert {"diameters of 40 found vesicles", "true diameter (nm)", "measured − true (nm)"} <= set(texts(figure))
    assert not any("beyond" in text for text in texts(figure))


def test_errors_of_diameters_far_off_are_counted_and_none_is_said() -> None:
    pairs = np.stack((np.append(np.full(400, 51.0), 500.0), np.full(401, 50.0)), axis=1)
    figure = drawn(diameter_errors_figure(pairs, "px"))
    assert figure.axes[0].get_ylim()[1] < 10
    assert {"1 beyond", "true diameter (px)"} <= set(texts(figure))
    assert any("no vesicles found" in text for text in texts(drawn(diameter_errors_figure(np.zeros((0, 2))))))


def test_threshold_sweep_draws_what_each_threshold_keeps() -> None:
    grid = np.linspace(0, 1, 11)
    precision = np.append(grid[:-1] / 2 + 0.5, NAN)
    boxes, scores = [np.array([(10.0, 10, 30, 30), (40, 20, 60, 50)]), NONE], [np.array([0.7, 0.1], np.float32), []]
    figure = drawn(
        threshold_sweep_figure([picture()] * 2, boxes, scores, (0.05, 0.7), grid, 9 - grid, precision, 1 - grid, 80 + grid, 0.35, 4, names=["a", "b"])
    )
    low, empty, high, _ = figure.axes[:4]
    assert low.get_title() == "a: 2 with score ≥ 0.05"
    assert high.get_title() == "a: 1 with score ≥ 0.7"  # a float32 of 0.7 is at 0.7
    assert empty.get_title() == "b: 0 with score ≥ 0.05"
    same = np.asarray(low.images[0].get_array()) == np.asarray(high.images[0].get_array())
    assert same[:, :35].all()
    assert not same[:, 38:].all()
    count, both, diameter = figure.axes[-3:]
    curves = {str(line.get_label()): np.asarray(line.get_ydata(), float) for axes in (count, both, diameter) for line in axes.get_lines()}
    for name, expected in (("count", 9 - grid), ("precision", precision), ("recall", 1 - grid), ("diameter", 80 + grid)):
        np.testing.assert_array_equal(curves[name], expected)
    for axes in (count, both, diameter):
        straight = [np.asarray(line.get_xydata()) for line in axes.get_lines() if len(line.get_xdata()) == 2]
        assert [line[0, 0] for line in straight if line[0, 0] == line[1, 0]] == [0.05, 0.7, 0.35]
        assert [line[0, 1] for line in straight if line[0, 1] == line[1, 1]] == ([4] if axes is count else [])
    marked = [tuple(np.asarray(line.get_xydata()).ravel()) for line in both.get_lines() if line.get_marker() == "o"]
    np.testing.assert_allclose(marked, [(0.35, 0.675), (0.35, 0.65)])
    assert {"threshold 0.05", "threshold 0.7", "operating point 0.35", "true value", "precision", "recall", "median diameter (nm)"} <= set(texts(figure))


def test_threshold_sweep_at_the_operating_point_names_it_once_and_shows_what_matters() -> None:
    grid = np.linspace(0, 1, 101)
    count = np.where(grid < 0.01, 5000, 10 * (1 - grid))
    figure = drawn(threshold_sweep_figure([], [], [], (0.1, 0.5), grid, count, grid, grid, grid, 0.5))
    assert "threshold 0.5" not in texts(figure)
    assert {"threshold 0.1", "operating point 0.5"} <= set(texts(figure))
    assert "true value" not in texts(figure)
    assert figure.axes[-3].get_ylim() == (0, pytest.approx(1.1 * 9.5))


@pytest.mark.parametrize("size", [(40, 120), (120, 40)])
def test_threshold_sweep_without_truth_detections_or_pictures(size: tuple[int, int]) -> None:
    grid, unknown = np.linspace(0, 1, 5), np.full(5, NAN)
    figure = drawn(threshold_sweep_figure([picture(*size)] * 5, [NONE] * 5, [[]] * 5, (0.1, 0.5), grid, 0 * grid, unknown, unknown, unknown, NAN, unit="px"))
    assert {"no objects to find", "no diameters", "median diameter (px)", "0 with score ≥ 0.1"} <= set(texts(figure))
    assert sum(len(axes.images) for axes in figure.axes) == 6
    assert not any("operating" in text for text in texts(figure))
    assert {"no pictures", "no detections"} <= set(texts(drawn(threshold_sweep_figure([], [], [], (0.1, 0.5), [], [], [], [], []))))


def test_assignment_fills_the_cells_that_learn() -> None:
    boxes = [(4.0, 4, 20, 20), (30, 10, 60, 50), (70, 2, 74, 6)]
    pairs = ([[1, 1], [1]], [[1, 2], [2]], [[0, 0], [1]], [[2, 0], [1]])  # rows, columns, targets, anchors on two levels
    figure = drawn(assignment_figure(picture(), boxes, [8, 16], *pairs))
    fine, coarse = figure.axes[:2]
    strips, outlines, learnt, others = fine.collections
    np.testing.assert_allclose(frames(strips), [(7.5 + 16 / 3, 7.5, 15.5, 15.5), (15.5, 7.5, 15.5 + 8 / 3, 15.5)])
    np.testing.assert_allclose(frames(outlines), [(7.5, 7.5, 15.5, 15.5), (15.5, 7.5, 23.5, 15.5)])
    np.testing.assert_allclose(frames(learnt), [(3.5, 3.5, 19.5, 19.5)])
    assert len(frames(others)) == 2
    assert strips.get_facecolor()[0, :3] == pytest.approx(to_rgba(PALETTE[0])[:3])
    np.testing.assert_allclose(frames(coarse.collections[0]), [(31.5 + 16 / 3, 15.5, 31.5 + 32 / 3, 31.5)])
    assert coarse.collections[0].get_facecolor()[0, :3] == pytest.approx(to_rgba(PALETTE[1])[:3])
    assert fine.get_title() == "stride 8 px: 1 of 3 objects\n2 cells, 2 pairs"
    assert any("1 object is learned nowhere" in text for text in texts(figure))
    assert fine.get_xlim() == (-0.5, 79.5)  # cells never stretch the picture


@pytest.mark.parametrize("levels", [1, 4])
@pytest.mark.parametrize("size", [(60, 80), (150, 60)])
def test_assignment_of_many_levels_and_no_objects(levels: int, size: tuple[int, int]) -> None:
    strides = [8 * 2**k for k in range(levels)]
    figure = drawn(assignment_figure(picture(*size), NONE, strides, *([[[]] * levels] * 4)))
    assert [axes.get_title() for axes in figure.axes[:levels]] == [f"stride {stride} px: no objects" for stride in strides]


def test_assignment_without_levels() -> None:
    assert "no levels" in texts(drawn(assignment_figure(picture(), NONE, [], [], [], [], [])))

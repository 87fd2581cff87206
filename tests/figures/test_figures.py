"""Figures: written whole, never blank, whatever is missing; boxes land on the right pixels."""

import base64
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure

from exolight.figures.curves import confidence_curve_figure, precision_recall_figure
from exolight.figures.labels import labels_figure
from exolight.figures.overlays import BAR_COLOUR, PLAIN_COLOUR, draw_boxes, draw_scale_bar, outline_scale_bar
from exolight.figures.sheets import mosaic_figure
from exolight.figures.style import DPI, WIDTH_INCH, save, shorten
from exolight.figures.training import results_figure

NAMES = ["exosome", "microvesicle", "a class with a long name, $x_1$"]


def written(figure: Figure, path: Path) -> np.ndarray:
    """The PNG that ``save`` wrote, as RGB; asserts that there is ink, that none is cut off at the edges, and that an SVG and no temporary file is beside it."""
    save(figure, path)
    image = cv2.imread(str(path))
    assert image is not None
    assert (image < 200).mean() > 0.001
    assert (image[:, [0, -1]] > 200).all()
    assert (image[[0, -1]] > 200).all()
    assert {p.name for p in path.parent.iterdir()} == {path.name, f"{path.stem}.svg"}
    assert ElementTree.parse(path.with_suffix(".svg")).getroot().tag.endswith("svg")
    return np.asarray(image[..., ::-1])


def table(epochs: int) -> pd.DataFrame:
    e = np.arange(epochs, dtype=float)
    losses = {f"train/{name}": 0.1 * np.exp(-e / 9) for name in ("box", "objectness", "class")}
    scores = {f"val/{name}": 1 - np.exp(-e / 6) for name in ("map", "map_50", "precision", "recall", "f1")}
    return pd.DataFrame({"epoch": e, **losses, **scores, "val/box": losses["train/box"], "lr": 0.01 * (1 - e / 30), "note": "x"})


@pytest.mark.parametrize("epochs", [0, 1, 30])
def test_results(tmp_path: Path, epochs: int) -> None:
    written(results_figure(table(epochs)), tmp_path / "results.png")


def test_results_with_gaps_and_missing_columns(tmp_path: Path) -> None:
    gaps = table(30)
    gaps.loc[::2, ["val/map", "val/map_50"]] = np.nan
    gaps["val/f1"] = np.nan
    figure = results_figure(gaps.drop(columns=["epoch", "train/class", "val/precision"]))
    lines = {str(line.get_label()): line for axes in figure.axes for line in axes.get_lines()}
    assert len(lines["mAP"].get_xdata()) == 15
    assert "f1" not in lines
    written(figure, tmp_path / "results.png")


@pytest.mark.parametrize("classes", [1, 3])
def test_curves(tmp_path: Path, classes: int) -> None:
    x = np.linspace(0, 1, 101)
    heights = np.stack([1 - x ** (4 + k) for k in range(classes)])
    figure = precision_recall_figure(x, heights, heights.mean(axis=1), NAMES[:classes])
    assert len(figure.axes[0].get_lines()) == (1 if classes == 1 else classes + 1)
    written(figure, tmp_path / "pr.png")
    written(confidence_curve_figure(x, heights, NAMES[:classes], "F1", best=(0.4, 0.97)), tmp_path / "pr.png")


def test_curves_of_classes_without_objects(tmp_path: Path) -> None:
    x = np.linspace(0, 1, 11)
    heights = np.stack((1 - x, np.full(11, np.nan)))
    figure = precision_recall_figure(np.stack((x, x)), heights, [0.5, np.nan], NAMES[:2])
    assert len(figure.axes[0].get_lines()) == 1
    assert "0.500" in figure.axes[0].get_title(loc="left")
    written(figure, tmp_path / "pr.png")
    written(confidence_curve_figure(x, heights[1:], NAMES[:1], "recall", best=(float("nan"), 0.0)), tmp_path / "pr.png")


@pytest.mark.parametrize(("count", "classes"), [(0, 1), (0, 3), (1, 1), (40, 3), (500, 1)])
def test_labels(tmp_path: Path, count: int, classes: int) -> None:
    rng = np.random.default_rng(0)
    corners = rng.random((count, 2)) * (250, 150)
    boxes = np.hstack((corners, corners + rng.uniform(5, 40, (count, 2)))).astype(np.float32)
    half = count // 2
    per_image = [boxes[:half], boxes[half:], np.empty((0, 4), np.float32)]
    labels = [rng.integers(0, classes, len(b)) for b in per_image]
    figure = labels_figure(per_image, [(200, 300)] * 3, labels, NAMES[:classes])
    assert f"3 pictures, {count} object" in figure.get_suptitle()
    written(figure, tmp_path / "labels.png")


def test_labels_of_no_pictures(tmp_path: Path) -> None:
    written(labels_figure([], [], [], NAMES[:1]), tmp_path / "labels.png")


def test_boxes_are_painted_on_the_pixels_just_inside() -> None:
    image = np.full((40, 90), 100, np.uint8)
    painted = draw_boxes(image, np.array([(50.0, 5.0, 80.0, 25.0)]))
    assert painted.shape == (40, 90, 3)
    expected = np.zeros((40, 90), bool)
    expected[5:25, [50, 79]] = True
    expected[[5, 24], 50:80] = True
    np.testing.assert_array_equal((painted != 100).any(axis=2), expected)
    assert tuple(painted[5, 60]) == PLAIN_COLOUR
    assert (image == 100).all()


def test_boxes_by_score_partly_outside_and_none() -> None:
    image = np.full((60, 100, 3), 100, np.uint8)
    np.testing.assert_array_equal(draw_boxes(image, np.empty((0, 4)), scores=np.empty(0)), image)
    painted = draw_boxes(image, [(-10, 10, 20, 30), (60, 30, 130, 90)], scores=[0.05, 0.95], text=False)
    low, high = painted[20, 19].astype(int), painted[45, 60].astype(int)
    assert (low != high).any()
    assert high[1] > low[1]  # plasma grows from violet to yellow: more green
    assert (painted[10:30, 0] == 100).all(axis=1).sum() >= 18  # nothing is drawn along the picture's border for a box that leaves it
    with pytest.raises(ValueError, match="uint8"):
        draw_boxes(image.astype(np.float32), [(0, 0, 1, 1)])


def test_text_only_where_there_is_room() -> None:
    image = np.full((600, 800), 100, np.uint8)
    boxes = np.array([(100 + 60 * (k % 10), 50 + 60 * (k // 10), 130 + 60 * (k % 10), 80 + 60 * (k // 10)) for k in range(61)], float)
    scores = np.full(61, 0.5)
    outside = np.s_[36:49, 100:125]  # above the first box
    assert (draw_boxes(image, boxes[:60], scores[:60])[outside] != 100).any()
    assert (draw_boxes(image, boxes, scores)[outside] == 100).all()
    named = draw_boxes(image, boxes[:1], labels=["exosome"])
    assert (named[outside] != 100).any()


def test_mosaic(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    images = [rng.integers(80, 140, hw).astype(np.uint8) for hw in ((100, 200), (300, 200), (64, 64, 3), (900, 900), (50, 50))]
    boxes = [np.array([(10.0, 10.0, 40.0, 40.0)])] * 4 + [np.empty((0, 4))]
    names = [f"a folder with a long name/picture_$_{k:05d}_of_the_grid.tif" for k in range(5)]
    written(mosaic_figure(images, boxes, [np.full(len(b), 0.7) for b in boxes], names), tmp_path / "mosaic.png")
    painted = written(mosaic_figure(images[:1], boxes[:1]), tmp_path / "mosaic.png").astype(int)
    ys, xs = np.nonzero(np.abs(painted - PLAIN_COLOUR).sum(axis=2) < 40)
    assert xs.mean() / painted.shape[1] == pytest.approx(25 / 200, abs=0.05)
    assert np.ptp(xs) == pytest.approx(np.ptp(ys), rel=0.05)  # a square box stays square
    written(mosaic_figure([], []), tmp_path / "mosaic.png")


def test_save_replaces_whole_files_and_makes_folders(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "figure.png"
    for _ in range(2):
        written(results_figure(table(3)), path)


def test_svg_has_text_as_text_and_pictures_of_sane_size(tmp_path: Path) -> None:
    big = np.random.default_rng(0).integers(0, 255, (3000, 3000)).astype(np.uint8)
    save(mosaic_figure([big] * 2, [np.empty((0, 4))] * 2, names=["vesicle 1", "b"]), tmp_path / "a.png")
    content = (tmp_path / "a.svg").read_text("utf-8")
    root = ElementTree.fromstring(content)
    assert "vesicle 1  (0)" in {"".join(text.itertext()) for text in root.iter("{http://www.w3.org/2000/svg}text")}
    pictures = [value for image in root.iter("{http://www.w3.org/2000/svg}image") for key, value in image.attrib.items() if key.endswith("href")]
    decoded = [cv2.imdecode(np.frombuffer(base64.b64decode(value.split(",")[1]), np.uint8), cv2.IMREAD_COLOR) for value in pictures]
    assert len(decoded) == 2
    assert all(300 < image.shape[1] <= 0.5 * WIDTH_INCH * DPI for image in decoded)


def test_the_same_figure_is_the_same_svg(tmp_path: Path) -> None:
    for name in ("a", "b"):
        save(results_figure(table(3)), tmp_path / f"{name}.png")
    assert (tmp_path / "a.svg").read_bytes() == (tmp_path / "b.svg").read_bytes()


def test_nothing_unfinished_is_left_where_a_figure_cannot_be_drawn(tmp_path: Path) -> None:
    save(results_figure(table(3)), tmp_path / "a.png")
    before = (tmp_path / "a.png").read_bytes()
    figure = results_figure(table(4))
    figure.text(0.5, 0.5, "$\\no_such_formula{$")
    with pytest.raises(ValueError, match="no_such_formula"):
        save(figure, tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == before
    assert {p.name for p in tmp_path.iterdir()} == {"a.png", "a.svg"}


def test_shorten() -> None:
    assert shorten("short", 10) == "short"
    assert len(shorten("x" * 50, 20)) == 20
    assert shorten("folder/picture_12.tif", 12).endswith("12.tif")


@pytest.mark.parametrize(("hw", "pixel_size", "length_nm"), [((512, 512), 1, 100), ((300, 400), 0.5, 50), ((3072, 3072), 0.624, 200), ((200, 900), 7, 1000)])
def test_the_scale_bar_has_the_length_it_says(hw: tuple[int, int], pixel_size: float, length_nm: float) -> None:
    canvas = draw_scale_bar(np.full((*hw, 3), 100, np.uint8), pixel_size)
    rows = (canvas == 245).all(axis=2)
    bar = rows.sum(axis=1).argmax()
    assert rows[bar].sum() == round(length_nm / pixel_size)  # letters are never as long
    assert bar > hw[0] * 0.8
    assert np.flatnonzero(rows[bar])[0] > hw[1] / 2
    assert (canvas[: hw[0] // 2] == 100).all()


def test_the_scale_bar_makes_room_for_boxes() -> None:
    def corner(boxes: list[list[float]]) -> tuple[bool, bool]:
        y, x = np.argwhere((draw_scale_bar(np.full((400, 400, 3), 100, np.uint8), 1.0, boxes) == 245).all(axis=2)).mean(axis=0)
        return bool(y > 200), bool(x > 200)

    right, left, above = [350.0, 350, 390, 390], [10.0, 350, 60, 390], [350.0, 10, 390, 60]
    assert corner([]) == (True, True)
    assert corner([right]) == (True, False)
    assert corner([right, left]) == (False, True)
    assert corner([right, left, above]) == (False, False)
    assert corner([right, left, above, [10, 10, 60, 60]]) == (True, True)


@pytest.mark.parametrize("top", [370.0, 8.0])
def test_a_burned_in_bar_is_outlined_and_not_hidden(top: float) -> None:
    bar, label = (250.0, top, 350.0, top + 6), (270.0, top + 10, 330.0, top + 24)
    canvas = np.full((400, 400, 3), 100, np.uint8)
    taken = outline_scale_bar(canvas, [bar, label], "500 nm: 100 px")
    green = (canvas == BAR_COLOUR).all(axis=2)
    rows, columns = np.nonzero(green)
    assert taken[0] <= columns.min()
    assert taken[1] <= rows.min()
    assert columns.max() < taken[2]
    assert rows.max() < taken[3]
    assert 0 <= taken[1] < taken[3] <= 400  # the words are inside the picture
    assert green[int(top) - 2, 248:352].all()  # the frame runs outside the bar
    assert not green[int(top) : int(top) + 6, 250:350].any()
    before = canvas[taken[1] : taken[3], taken[0] : taken[2]].copy()
    draw_scale_bar(canvas, 1.0, [[10, 350, 60, 390], [10, 10, 60, 60], [350, 10, 390, 60]], [taken])
    assert (canvas == 245).all(axis=2).any()
    assert (canvas[taken[1] : taken[3], taken[0] : taken[2]] == before).all()


def test_no_scale_bar_without_a_scale() -> None:
    for hw, pixel_size in (((400, 400), None), ((40, 400), 1.0)):
        assert (draw_scale_bar(np.full((*hw, 3), 100, np.uint8), pixel_size) == 100).all()

"""Scores of a prediction against annotations of every format, found by themselves."""

import json
import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from matplotlib.text import Text

from exolight.data.annotations.detect import detect_format, read_annotations
from exolight.detections import Detections
from exolight.errors import InputError
from exolight.reporting.truth import Truth

BOXES = {"a": [[10, 20, 40, 60], [50, 10, 70, 30]], "b": []}


def data_set(root: Path, kind: str) -> Path:
    """Two pictures of 100 x 80 px, one of them empty, annotated in some format."""
    (root / "images").mkdir(parents=True)
    for name in BOXES:
        cv2.imwrite(str(root / "images" / f"{name}.png"), np.random.default_rng(0).integers(0, 255, (80, 100), dtype=np.uint8))
    if kind == "masks":
        (root / "masks").mkdir()
        for name, boxes in BOXES.items():
            mask = np.zeros((80, 100), np.uint16)
            for number, (x1, y1, x2, y2) in enumerate(boxes, 1):
                mask[y1:y2, x1:x2] = number
            cv2.imwrite(str(root / "masks" / f"{name}.png"), mask)
    elif kind == "yolo":
        (root / "labels").mkdir()
        for name, boxes in BOXES.items():
            rows = [f"0 {(x1 + x2) / 200} {(y1 + y2) / 160} {(x2 - x1) / 100} {(y2 - y1) / 80}" for x1, y1, x2, y2 in boxes]
            (root / "labels" / f"{name}.txt").write_text("\n".join(rows))
    else:
        images = [{"id": i, "file_name": f"{name}.png", "width": 100, "height": 80} for i, name in enumerate(BOXES)]
        sides = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2 in BOXES["a"]]
        objects = [{"id": i, "image_id": 0, "category_id": 1, "bbox": box, "iscrowd": 0} for i, box in enumerate(sides)]
        (root / "truth.json").write_text(json.dumps({"images": images, "annotations": objects, "categories": [{"id": 1, "name": "vesicle"}]}))
    return root


def detections(boxes: list[list[float]], scores: list[float]) -> Detections:
    return Detections(np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.zeros(len(boxes), np.int64))


@pytest.mark.parametrize("kind", ["masks", "yolo", "coco"])
def test_hand_computed(tmp_path: Path, kind: str) -> None:
    root = data_set(tmp_path / "data", kind)
    pictures = [root / "images" / "a.png", root / "images" / "b.png"]
    truth = Truth(root, pictures, ["exosome"])
    assert truth.format == kind
    found = {pictures[0]: detections([[10, 20, 40, 60], [50, 10, 70, 30], [0, 0, 9, 9]], [0.9, 0.2, 0.1]), pictures[1]: detections([[5, 5, 20, 20]], [0.5])}
    scores = truth.scores(found, 0.3)
    assert (scores["pictures"], scores["objects"]) == (2, 2)
    assert (scores["precision"], scores["recall"], scores["f1"]) == (0.5, 0.5, 0.5)  # one true, one false, one missed
    assert (scores["count_bias"], scores["count_mae"]) == (0, 1)  # 1 for 2, 1 for 0
    # precision 1 up to recall 0.5, then 2 of 3: 51 and 50 of 101 points
    assert scores["map_50"] == pytest.approx((51 + 50 * 2 / 3) / 101, abs=1e-6)
    assert scores["best_f1"] == pytest.approx(0.8)
    assert scores["map_large"] is None
    assert not any(isinstance(value, float) and math.isnan(value) for value in scores.values())
    assert (scores["error_background"], scores["error_missed"], scores["touching"]) == (1, 1, 0)
    assert scores["f1_low"] <= scores["f1"] <= scores["f1_high"]
    assert scores["count_low"] == pytest.approx(-1.96 * 2**0.5)
    assert not any("nm" in name for name in scores)  # nobody knows the scale
    figures = truth.figures(found, 0.3)
    assert {"PR_curve", "confusion_matrix", "worst", "threshold_sweep", "size_distribution"} <= set(figures)
    assert "a: 1 missed, 0 false" in {text.get_text() for text in figures["worst"].findobj(Text) if isinstance(text, Text)}


def test_the_scale_of_the_pictures_gives_scores_by_size_in_nm(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "masks")
    pictures = [root / "images" / "a.png", root / "images" / "b.png"]
    truth = Truth(root, pictures, ["exosome"])
    found = {pictures[0]: detections([[10, 20, 40, 60]], [0.9]), pictures[1]: detections([], [])}
    scores = truth.scores(found, 0.3, {pictures[0]: 2.0, pictures[1]: None})
    assert [scores[f"objects/{band}"] for band in ("under_30nm", "30_60nm", "60_100nm")] == [0, 1, 1]  # 2 * sqrt(20 * 20) and 2 * sqrt(30 * 40) nm
    assert (scores["map/30_60nm"], scores["map/60_100nm"], scores["map/over_200nm"]) == (0, pytest.approx(1), None)
    assert truth.scores(found, 0.3, temperature=2.0)["temperature"] == 2.0


def test_figures_show_the_files_that_were_predicted(tmp_path: Path) -> None:
    """The annotated ones may be elsewhere, or gone."""
    root = data_set(tmp_path / "data", "yolo")
    copy = tmp_path / "elsewhere" / "a.png"
    copy.parent.mkdir()
    truth = Truth(root, [copy], ["exosome"])
    (root / "images" / "a.png").rename(copy)
    assert "worst" in truth.figures({copy: detections([], [])}, 0.5)


def test_regions_to_ignore_are_no_objects(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "coco")
    content = json.loads((root / "truth.json").read_text("utf-8"))
    content["annotations"][1]["iscrowd"] = 1
    (root / "truth.json").write_text(json.dumps(content))
    picture = root / "images" / "a.png"
    scores = Truth(root, [picture], ["exosome"]).scores({picture: detections([[10, 20, 40, 60], [50, 10, 70, 30]], [0.9, 0.9])}, 0.3)
    assert (scores["objects"], scores["precision"], scores["recall"]) == (1, 1, 1)


@pytest.mark.parametrize("named", ["data/masks", "data/images", "data"])
def test_naming_a_part_of_the_data_set_will_do(tmp_path: Path, named: str) -> None:
    root = data_set(tmp_path / "data", "masks")
    assert Truth(tmp_path / named, [root / "images" / "a.png"], ["exosome"]).format == "masks"


def test_a_coco_file_away_from_its_pictures(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "coco")
    alone = tmp_path / "truth of 2026.json"
    (root / "truth.json").rename(alone)
    pictures = [root / "images" / "a.png"]
    assert set(Truth(alone, pictures, ["exosome"]).images) == set(pictures)


def test_a_picture_is_known_by_its_name_but_not_at_another_size(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "yolo")
    copy = tmp_path / "elsewhere" / "a.tif"
    truth = Truth(root, [copy], ["exosome"])
    assert truth.fits(copy, (80, 100))
    assert not truth.fits(copy, (160, 200))
    assert not truth.fits(tmp_path / "b.tif", (80, 100))


def test_namesakes_in_other_folders_are_not_scored(tmp_path: Path) -> None:
    root = data_set(tmp_path / "grid 1", "masks")
    own, other = root / "images" / "a.png", tmp_path / "grid 2" / "a.png"
    truth = Truth(root, [other, own], ["exosome"])
    assert set(truth.images) == {own}
    with pytest.raises(InputError, match="not one of 2 pictures"):
        Truth(root, [tmp_path / "x" / "a.png", tmp_path / "y" / "a.png"], ["exosome"])  # which of the two is it?


def test_classes_are_mapped_by_name(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "coco")
    pictures = [root / "images" / "a.png"]
    assert Truth(root, pictures, ["gold", "vesicle"]).labels == {0: 1}
    with pytest.raises(InputError, match="none in common"):
        Truth(root, pictures, ["gold", "dust"])


def test_mistakes(tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", "masks")
    with pytest.raises(InputError, match="not one of 1 pictures"):
        Truth(root, [tmp_path / "z.png"], ["exosome"])
    with pytest.raises(InputError, match="no such file or folder"):
        read_annotations(tmp_path / "missing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match="format that can be read"):
        detect_format(tmp_path / "empty")
    (tmp_path / "notes.docx").touch()
    with pytest.raises(InputError, match="format that can be read"):
        detect_format(tmp_path / "notes.docx")


def test_real_data(real_data: Path) -> None:
    assert detect_format(real_data / "exosomes") == "masks"
    pictures = sorted((real_data / "exosomes" / "images").glob("*.png"))
    truth = Truth(real_data / "exosomes", pictures, ["exosome"])
    perfect = {picture: detections(truth.images[picture].boxes.tolist(), [0.9] * len(truth.images[picture].boxes)) for picture in pictures}
    scores = truth.scores(perfect, 0.5)
    assert (scores["pictures"], scores["objects"], scores["map"], scores["f1"]) == (8, 24, pytest.approx(1), 1)


def test_measured_diameters_are_scored_instead_of_the_boxes(tmp_path: Path) -> None:
    """The masks' area-equivalent diameters: of 30 x 40 px and 20 x 20 px."""
    root = data_set(tmp_path / "data", "masks")
    picture = root / "images" / "a.png"
    truth = Truth(root, [picture], ["exosome"])
    found = {picture: detections([[10, 20, 40, 60], [50, 10, 70, 30]], [0.9, 0.9])}
    true = [math.sqrt(4 * area / math.pi) for area in (30 * 40, 20 * 20)]
    by_box = truth.scores(found, 0.3)
    assert by_box["diameters"] == 2
    assert by_box["diameter_error"] == pytest.approx(1 - math.sqrt(math.pi / 4), rel=1e-3)  # of a rectangle
    measured = truth.scores(found, 0.3, diameters_px={picture: np.array([1.02 * true[0], 1.02 * true[1]])})
    assert measured["diameter_error"] == measured["diameter_bias"] == pytest.approx(0.02, rel=1e-3)
    in_nm = truth.scores(found, 0.3, {picture: 2.0}, diameters_px={picture: np.array([1.02 * true[0], 1.02 * true[1]])})
    assert in_nm["diameter_error_nm"] == pytest.approx(0.02 * sum(true), rel=1e-3)  # the median of two

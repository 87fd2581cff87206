"""The files of a prediction agree with each other and with what was found."""

import json
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from exolight.detections import Detections
from exolight.inference.files import find_pictures
from exolight.inference.predictor import Failure, Prediction
from exolight.micrograph import Micrograph
from exolight.reporting.prediction import IMAGE_COLUMNS, VESICLE_COLUMNS, output_stems, picture_names, write_prediction

CLASSES = ["exosome", "artefact"]


def prediction(path: Path, boxes: list[list[float]], labels: list[int], pixel_size_nm: float | None = None) -> Prediction:
    pixels = np.full((200, 300), 90, np.uint8)
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    detections = Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(labels, np.int64))
    source = "unknown" if pixel_size_nm is None else "user"
    return Prediction(path, Micrograph(pixels, pixel_size_nm, source, path), pixels, detections, 12.345)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict]:
    pictures = [tmp_path / "data" / name for name in ("grid 1/a.tif", "grid 2/a.tif", "empty.png", "broken.png")]

    def results() -> Iterator[Prediction | Failure]:
        yield prediction(pictures[0], [[10, 20, 50, 60], [100, 50, 140, 140], [260, 100, 299.5, 150]], [0, 1, 0], pixel_size_nm=2.0)
        yield prediction(pictures[1], [[30, 40, 60, 70]], [0])
        yield prediction(pictures[2], [], [])
        yield Failure(pictures[3], f"{pictures[3]}: damaged")

    folder = tmp_path / "out"
    return folder, write_prediction(results(), pictures, folder, CLASSES, {"checkpoint": "a.ckpt"})


def test_a_row_a_vesicle(written: tuple[Path, dict]) -> None:
    table = pd.read_csv(written[0] / "detections.csv")
    assert tuple(table.columns) == VESICLE_COLUMNS
    assert table["image"].tolist() == ["grid 1/a.tif"] * 3 + ["grid 2/a.tif"]
    assert table["class"].tolist() == ["exosome", "artefact", "exosome", "exosome"]
    assert table.loc[1, ["x1", "y1", "x2", "y2"]].tolist() == [100, 50, 140, 140]
    assert table["diameter_px"].tolist() == pytest.approx([40, 60, np.sqrt(39.5 * 50), 30], abs=0.01)
    assert table["diameter_nm"].tolist()[:2] == [80, 120]
    assert np.isnan(table["diameter_nm"][3])
    assert table["on_border"].tolist() == [False, False, True, False]


def test_a_row_an_image_with_zeros_and_failures(written: tuple[Path, dict]) -> None:
    table = pd.read_csv(written[0] / "images.csv")
    assert tuple(table.columns) == IMAGE_COLUMNS
    assert table["image"].tolist() == ["grid 1/a.tif", "grid 2/a.tif", "empty.png", "broken.png"]
    assert table["count"].tolist()[:3] == [3, 1, 0]
    assert np.isnan(table["count"][3])  # nobody knows, which is not zero
    assert table["error"].isna().tolist() == [True, True, True, False]
    assert table.loc[0, ["width", "height", "pixel_size_nm", "pixel_size_source", "milliseconds"]].tolist() == [300, 200, 2.0, "user", 12.3]


def test_coco(written: tuple[Path, dict]) -> None:
    coco = json.loads((written[0] / "detections.coco.json").read_text(encoding="utf-8"))
    assert [image["file_name"] for image in coco["images"]] == ["grid 1/a.tif", "grid 2/a.tif", "empty.png"]
    assert coco["annotations"][1] == {"id": 2, "image_id": 1, "category_id": 2, "bbox": [100, 50, 40, 90], "area": 3600, "iscrowd": 0, "score": 0.7}
    assert coco["categories"] == [{"id": 1, "name": "exosome"}, {"id": 2, "name": "artefact"}]


def test_labels_and_overlays_do_not_overwrite_each_other(written: tuple[Path, dict]) -> None:
    stems = ["empty", "grid 1__a.tif", "grid 2__a.tif"]
    assert sorted(path.name for path in (written[0] / "labels").iterdir()) == [f"{stem}.txt" for stem in stems]
    assert sorted(path.name for path in (written[0] / "overlays").iterdir()) == [f"{stem}.png" for stem in stems]
    assert (written[0] / "labels" / "empty.txt").read_text() == ""
    rows = np.loadtxt(written[0] / "labels" / "grid 1__a.tif.txt")
    np.testing.assert_allclose(rows[1], [1, 120 / 300, 95 / 200, 40 / 300, 90 / 200, 0.7], atol=1e-5)
    overlay = cv2.imread(str(written[0] / "overlays" / "grid 1__a.tif.png"))
    assert overlay.shape == (200, 300, 3)
    assert (overlay != 90).any()
    assert (cv2.imread(str(written[0] / "overlays" / "empty.png")) == 90).all()


def test_summary(written: tuple[Path, dict]) -> None:
    folder, summary = written
    assert json.loads((folder / "summary.json").read_text(encoding="utf-8")) == summary
    assert (summary["images"], summary["failed"], summary["vesicles"], summary["vesicles_on_border"]) == (4, 1, 4, 1)
    assert summary["vesicles_of_class"] == {"exosome": 3, "artefact": 1}
    assert summary["vesicles_per_image"]["mean"] == pytest.approx(4 / 3, abs=1e-3)
    assert (summary["diameter_px"]["count"], summary["diameter_px"]["median"]) == (3, 40)  # 30, 40, 60: the cut one is not sized
    assert (summary["diameter_nm"]["count"], summary["diameter_nm"]["median"], summary["diameter_nm"]["std"]) == (2, 100, pytest.approx(28.284))
    assert summary["settings"] == {"checkpoint": "a.ckpt"}
    assert summary["failures"][0]["image"] == "broken.png"


def test_a_prediction_is_not_predicted_again(written: tuple[Path, dict]) -> None:
    with pytest.raises(ValueError, match="holds no picture"):
        find_pictures([str(written[0])])


def test_nothing_found_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    summary = write_prediction([prediction(path, [], [])], [path], tmp_path / "out", CLASSES, {})
    assert summary["diameter_px"] is None
    assert len(pd.read_csv(tmp_path / "out" / "detections.csv")) == 0


def test_names() -> None:
    assert list(picture_names([Path("x/a.png")]).values()) == ["a.png"]
    assert list(picture_names([Path("x/y/a.png"), Path("x/b.png"), Path("x/z/../c.png")]).values()) == ["y/a.png", "b.png", "c.png"]
    assert output_stems(["a.png", "b.png"]) == ["a", "b"]
    assert output_stems(["a.png", "a.tif", "b.png"]) == ["a.png", "a.tif", "b"]
    stems = output_stems(["A.png", "a.png", "x/a.png", "x__a.png.png", "A.png.tif"])
    assert len({stem.casefold() for stem in stems}) == 5

"""The files of a prediction agree with each other and with what was found."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest

from exolight.detections import Detections
from exolight.inference.files import find_pictures
from exolight.inference.predictor import Failure, Found, Prediction
from exolight.micrograph import Micrograph
from exolight.reporting import prediction as module
from exolight.reporting.doubts import Learned, doubt
from exolight.reporting.names import output_stems, picture_names
from exolight.reporting.prediction import Report, tell
from exolight.reporting.tables import CONTOUR_COLUMNS, IMAGE_COLUMNS, VESICLE_COLUMNS, typed

CLASSES = ["exosome", "artefact"]


def film(seed: int = 0, hw: tuple[int, int] = (200, 300)) -> np.ndarray:
    """A usable picture: grain of all sizes behind a little noise."""
    rng = np.random.default_rng(seed)
    grain = sum(sigma * cv2.GaussianBlur(rng.standard_normal(hw).astype(np.float32), (0, 0), sigma) for sigma in (1, 3, 9, 27))
    return np.clip(128 + 20 * grain + 2 * rng.standard_normal(hw), 0, 255).astype(np.uint8)


def prediction(path: Path, boxes: list[list[float]], labels: list[int], pixel_size_nm: float | None = None, recorded: np.ndarray | None = None) -> Prediction:
    recorded, pixels = film() if recorded is None else recorded, np.full((200, 300), 90, np.uint8)
    scores = np.linspace(0.9, 0.5, len(boxes), dtype=np.float32)
    detections = Detections(np.array(boxes, np.float32).reshape(-1, 4), scores, np.array(labels, np.int64))
    source = "unknown" if pixel_size_nm is None else "user"
    return Prediction(path, Micrograph(recorded, pixel_size_nm, source, path), pixels, Found(detections, 0.5, 1, 12.345, 1.5), 4.0)


@pytest.fixture
def written(tmp_path: Path) -> tuple[Path, dict]:
    pictures = [tmp_path / "data" / name for name in ("grid 1/a.tif", "grid 2/a.tif", "empty.png", "broken.png")]

    def results() -> Iterator[Prediction | Failure]:
        yield prediction(pictures[0], [[10, 20, 50, 60], [100, 50, 140, 140], [260, 100, 299.5, 150]], [0, 1, 0], pixel_size_nm=2.0)
        yield prediction(pictures[1], [[30, 40, 60, 70]], [0])
        yield prediction(pictures[2], [], [])
        yield Failure(pictures[3], f"{pictures[3]}: damaged")

    folder = tmp_path / "out"
    report = Report(folder, pictures, CLASSES, {"checkpoint": "a.ckpt"})
    assert report.missing == pictures
    report.write(results())
    return folder, report.finish()


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
    assert table.loc[0, ["width", "height", "pixel_size_nm", "pixel_size_source", "views"]].tolist() == [300, 200, 2.0, "user", 1]
    assert table.loc[0, ["read_ms", "network_ms", "suppression_ms"]].tolist() == [4.0, 12.3, 1.5]


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
    assert (overlay[:140] != 90).any()
    assert (overlay[150:, 180:] == 245).sum() > 100  # the scale bar
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


def disc(path: Path, centre: tuple[float, float] = (100.0, 90.0), radius: float = 30.0, pixel_size_nm: float | None = 2.0) -> Prediction:
    """A picture of one bright disc on grey, its box 2 px too wide on every side, and a box on nothing at the border."""
    y, x = np.mgrid[:200, :300] + 0.5
    distance = np.hypot(x - centre[0], y - centre[1]) - radius
    pixels = (120 + 80 / (1 + np.exp(distance)) + np.random.default_rng(0).normal(0, 2, (200, 300))).astype(np.float32)
    box = [centre[0] - radius - 2, centre[1] - radius - 2, centre[0] + radius + 2, centre[1] + radius + 2]
    detections = Detections(np.array([box, [250, 150, 300, 200]], np.float32), np.array([0.9, 0.6], np.float32), np.zeros(2, np.int64))
    image = np.clip(pixels, 0, 255).astype(np.uint8)
    return Prediction(path, Micrograph(pixels, pixel_size_nm, "user", path), image, Found(detections, 0.5, 1, 1.0, 1.0), 4.0)


def test_outlines_are_measured_written_and_drawn(tmp_path: Path) -> None:
    pictures = [tmp_path / "a.tif", tmp_path / "b.tif", tmp_path / "empty.tif"]
    folder = tmp_path / "out"

    def interrupted() -> Iterator[Prediction]:
        yield disc(pictures[0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Report(folder, pictures, CLASSES, {}, contour=True, quality="ignore").write(interrupted())
    report = Report(folder, pictures, CLASSES, {}, contour=True, quality="ignore")
    assert report.missing == pictures[1:]
    report.write([disc(pictures[1], radius=20.0, pixel_size_nm=None), prediction(pictures[2], [], [])])
    report.finish()
    table = pd.read_csv(folder / "detections.csv")
    assert tuple(table.columns) == VESICLE_COLUMNS + CONTOUR_COLUMNS
    first, border, second = table.iloc[0], table.iloc[1], table.iloc[2]
    assert first["measured_from"] == second["measured_from"] == "contour"
    assert first["diameter_px"] == pytest.approx(60, abs=1.5)  # the disc's, not that of its box
    assert (first["box_diameter_px"], first["box_diameter_nm"]) == (64, 128)
    assert first["diameter_nm"] == pytest.approx(2 * first["diameter_px"], abs=0.02)
    assert first["area_nm2"] == pytest.approx(4 * first["area_px2"], rel=1e-3)
    assert first["feret_max_px"] == pytest.approx(60, abs=2)
    assert first["roundness"] == pytest.approx(1, abs=0.05)
    assert first["grey_inside"] == pytest.approx(197, abs=4)
    assert first["grey_background"] == pytest.approx(120, abs=3)
    assert second["diameter_px"] == pytest.approx(40, abs=1.5)
    assert np.isnan(second["diameter_nm"])
    assert border["on_border"]
    annotations = json.loads((folder / "detections.coco.json").read_text(encoding="utf-8"))["annotations"]
    assert [annotation["image_id"] for annotation in annotations] == [1, 1, 2, 2]
    outline = np.array(annotations[0]["segmentation"][0]).reshape(-1, 2)
    assert np.hypot(*(outline - (100, 90)).T) == pytest.approx(30, abs=1.5)
    assert annotations[0]["area"] == first["area_px2"]
    assert ("segmentation" in annotations[1]) == (border["measured_from"] == "contour")
    overlay = cv2.imread(str(folder / "overlays" / "a.png"))
    assert (overlay[58, 68] == overlay[58, 68][0]).all()  # the box's corner is not drawn
    assert any((overlay[90, column] != overlay[90, column][0]).any() for column in (69, 70, 71))  # the outline is
    assert not (folder / ".kept").exists()
    assert {key: type(value) for key, value in typed(dict.fromkeys(CONTOUR_COLUMNS, "1")).items()} == {
        name: str if name == "measured_from" else float for name in CONTOUR_COLUMNS
    }


def blank(path: Path) -> Prediction:
    """Nothing but noise, in which the detector has found something all the same."""
    noise = np.random.default_rng(1).normal(128, 8, (200, 300)).astype(np.uint8)
    return prediction(path, [[10, 20, 50, 60], [100, 50, 140, 140]], [0, 0], 2.0, noise)


def torn(path: Path) -> Prediction:
    """Film on the left two thirds, and a vesicle on it."""
    noise = np.random.default_rng(2).normal(0, 2, (200, 300))
    recorded = np.where(np.arange(300) < 200, 0.6 * film().astype(float), 240 + noise)
    return prediction(path, [[10, 20, 50, 60]], [0], 2.0, recorded.astype(np.uint8))


def test_a_picture_that_is_not_analysable_is_not_one_without_vesicles(tmp_path: Path) -> None:
    pictures = [tmp_path / name for name in ("a.png", "blank.png", "empty.png", "torn.png")]
    folder = tmp_path / "out"
    made = [
        prediction(pictures[0], [[10, 20, 50, 60], [60, 60, 90, 90]], [0, 0], 2.0),
        blank(pictures[1]),
        prediction(pictures[2], [], [], 2.0),
        torn(pictures[3]),
    ]
    report = Report(folder, pictures, CLASSES, {})
    report.write(made)
    summary = report.finish()
    images = pd.read_csv(folder / "images.csv").set_index("image")
    assert images["count"].fillna(-1).tolist() == [2, -1, 0, 1]
    assert images["error"].isna().all()
    assert images["quality_verdict"].tolist() == ["usable", "reject", "usable", "warn"]
    assert images["quality_reason"]["blank.png"].startswith("nearly empty: ")
    assert images["warning"].fillna("").tolist() == ["", "", "", "picture quality: grid bar or torn film"]
    np.testing.assert_allclose(images["analysed_share"], [1, 0, 1, 2 / 3], atol=0.02)
    assert pd.read_csv(folder / "detections.csv")["image"].tolist() == ["a.png", "a.png", "torn.png"]
    assert [one["file_name"] for one in json.loads((folder / "detections.coco.json").read_text("utf-8"))["images"]] == ["a.png", "empty.png", "torn.png"]
    assert sorted(path.name for path in (folder / "labels").iterdir()) == ["a.txt", "empty.txt", "torn.txt"]
    assert len(list((folder / "overlays").iterdir())) == 4
    assert (summary["images"], summary["failed"], summary["vesicles"]) == (4, 0, 3)
    assert summary["vesicles_per_image"]["count"] == 3
    assert summary["vesicles_per_image"]["mean"] == 1
    assert [row["image"] for row in summary["not_analysable"]] == ["blank.png"]
    statistics = pd.read_csv(folder / "statistics.csv").set_index("picture")
    every, rejected, empty = (statistics.loc[name] for name in (np.nan, "blank.png", "empty.png"))
    assert (every["pictures"], every["not_analysable"], every["empty"], every["vesicles"]) == (3, 1, 1, 3)
    assert every["area_um2"] == pytest.approx(0.24 * (2 + 2 / 3), rel=0.01)
    assert every["density_per_um2"] == pytest.approx(3 / (0.24 * (2 + 2 / 3)), rel=0.01)
    assert (empty["vesicles"], empty["not_analysable"]) == (0, 0)
    assert rejected["not_analysable"] == 1
    assert rejected[["pictures", "vesicles", "density_per_um2"]].isna().all()
    said = tell(summary, folder)
    assert said.startswith("3 found in 3 pictures")
    assert "\nnot analysable: 1 of 4 pictures (1 nearly empty); they are left out, not counted as 0 (quality=ignore counts them)\n" in said
    assert Report(folder, pictures, CLASSES, {}).missing == []  # it is done, and not tried again


def test_quality_may_be_ignored_and_is_told_all_the_same(tmp_path: Path) -> None:
    pictures = [tmp_path / "blank.png", tmp_path / "torn.png"]
    report = Report(tmp_path / "out", pictures, CLASSES, {}, quality="ignore")
    report.write([blank(pictures[0]), torn(pictures[1])])
    summary = report.finish()
    images = pd.read_csv(tmp_path / "out" / "images.csv")
    assert images["count"].tolist() == [2, 1]
    assert images["quality_verdict"].tolist() == ["reject", "warn"]
    assert images["analysed_share"].tolist() == [1, 1]
    assert images["warning"].tolist() == ["picture quality: nearly empty", "picture quality: grid bar or torn film"]
    assert (summary["vesicles"], summary["not_analysable"]) == (3, [])


def test_nobody_looks_at_the_quality(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "assess", lambda *_: pytest.fail("looked"))
    path = tmp_path / "blank.png"
    report = Report(tmp_path / "out", [path], CLASSES, {}, quality="none")
    report.write([blank(path)])
    assert (report.finish()["vesicles"], report.metrics) == (2, None)
    row = pd.read_csv(tmp_path / "out" / "images.csv").iloc[0]
    assert (row["count"], row["analysed_share"], pd.isna(row["quality_verdict"]), pd.isna(row["warning"])) == (2, 1, True, True)


def test_warnings_that_differ_by_a_number_are_told_together(tmp_path: Path) -> None:
    summary = Report(tmp_path / "out", [], CLASSES, {}).finish()
    said = ["seen at 3.2 nm per pixel", "no scale bar was found", "seen at 3.31 nm per pixel", "seen at 12 nm per pixel"]
    summary |= {"images": 9, "milliseconds": {}, "warnings": [{"image": "a", "warning": one} for one in said]}
    assert tell(summary, tmp_path).splitlines()[-2:] == [
        "warning: 3 of 9 pictures: seen at 3.2 nm per pixel (or the like)",
        "warning: 1 of 9 pictures: no scale bar was found",
    ]


def test_mixed_magnifications_are_told_at_the_end(tmp_path: Path) -> None:
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    report = Report(tmp_path / "out", pictures, CLASSES, {}, quality="none")
    report.write([disc(pictures[0], pixel_size_nm=1.0), disc(pictures[1], pixel_size_nm=4.0)])
    summary = report.finish()
    assert summary["doubts_of_scale"][0].startswith("mixed magnifications: 1 nm per pixel in 1 picture (a.png), 4 nm per pixel in 1 picture (b.png)")
    assert "\nwarning: mixed magnifications: " in tell(summary, tmp_path)


@pytest.mark.parametrize(("text", "value"), [("True", True), ("TRUE", True), ("False", False), ("FALSE", False)])
def test_tables_that_excel_has_saved(text: str, value: bool) -> None:
    assert typed({"image": "a", "on_border": text, "x1": "3.5", "count": ""}) == {"image": "a", "on_border": value, "x1": 3.5, "count": None}


def test_no_picture_is_analysable(tmp_path: Path) -> None:
    path = tmp_path / "blank.png"
    report = Report(tmp_path / "out", [path], CLASSES, {})
    report.write([blank(path)])
    summary = report.finish()
    assert (summary["vesicles"], summary["population"], summary["vesicles_per_image"]) == (0, None, None)
    assert tell(summary, tmp_path).startswith("0 found in 0 pictures")


def test_scores_are_of_pictures_that_are_not_analysable_too(tmp_path: Path) -> None:
    class Known:
        def fits(self, picture: Path, hw: tuple[int, ...]) -> bool:
            return True

        def figures(self, *_: object) -> dict:
            return {}

        def scores(self, found: dict[Path, Detections], *_: object) -> dict:
            return {"boxes": {path.name: len(one) for path, one in found.items()}}

    pictures = [tmp_path / "a.png", tmp_path / "blank.png"]
    report = Report(tmp_path / "out", pictures, CLASSES, {}, truth=Known())  # type: ignore[arg-type]
    report.write([prediction(pictures[0], [[10, 20, 50, 60]], [0]), blank(pictures[1])])
    report.finish()
    assert report.metrics == {"boxes": {"a.png": 1, "blank.png": 2}, "pictures_without_truth": 0, "pictures_not_analysable": 1}


def test_the_overlay_shows_what_was_not_analysed(tmp_path: Path) -> None:
    pictures = [tmp_path / "blank.png", tmp_path / "torn.png"]
    report = Report(tmp_path / "out", pictures, CLASSES, {})
    report.write([blank(pictures[0]), torn(pictures[1])])
    rejected, masked = (cv2.imread(str(tmp_path / "out" / "overlays" / path.name)) for path in pictures)
    assert (rejected[30:150] == 90).all()  # no box
    assert (rejected[:12] != 90).any()  # words
    assert masked[100, 250].tolist() != [90, 90, 90]
    assert masked[100, 150].tolist() == [90, 90, 90]


def test_a_prediction_is_not_predicted_again(written: tuple[Path, dict]) -> None:
    with pytest.raises(ValueError, match="holds no picture"):
        find_pictures([str(written[0])])


def test_nothing_found_anywhere(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    report = Report(tmp_path / "out", [path], CLASSES, {})
    report.write([prediction(path, [], [])])
    summary = report.finish()
    assert summary["diameter_px"] is None
    assert len(pd.read_csv(tmp_path / "out" / "detections.csv")) == 0


def test_names() -> None:
    assert list(picture_names([Path("x/a.png")]).values()) == ["a.png"]
    assert list(picture_names([Path("x/y/a.png"), Path("x/b.png"), Path("x/z/../c.png")]).values()) == ["y/a.png", "b.png", "c.png"]
    assert output_stems(["a.png", "b.png"]) == ["a", "b"]
    assert output_stems(["a.png", "a.tif", "b.png"]) == ["a.png", "a.tif", "b"]
    assert output_stems(["cafe\u0301.png", "caf\u00e9.tif"]) == ["cafe\u0301.png", "caf\u00e9.tif"]  # one name on macOS
    long = output_stems([f"{'g' * 90}/{'h' * 90}/{'k' * 90}{number}/001.png" for number in range(3)])
    assert len(set(long)) == 3
    assert all(len(stem.encode()) < 240 and stem.endswith("__001.png") for stem in long)
    stems = output_stems(["A.png", "a.png", "x/a.png", "x__a.png.png", "A.png.tif"])
    assert len({stem.casefold() for stem in stems}) == 5


def test_what_was_interrupted_goes_on(tmp_path: Path) -> None:
    pictures = [tmp_path / name for name in ("a.png", "b.png", "c.png", "d.png")]
    folder = tmp_path / "out"

    def interrupted() -> Iterator[Prediction | Failure]:
        yield prediction(pictures[0], [[10, 20, 50, 60]], [0])
        yield Failure(pictures[1], "b.png: not now")
        yield prediction(pictures[2], [[10, 20, 60, 60]], [0])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Report(folder, pictures, CLASSES, {}).write(interrupted())
    # Killed while it wrote: vesicles of a picture that is not done, and half a row in each table.
    with (folder / "detections.csv").open("a", newline="") as file:
        file.write("d.png,1,2,3,4,0.9,exosome,2.0,,False\r\nd.png,5,6")
    with (folder / "images.csv").open("a", newline="") as file:
        file.write("d.png,300,20")
    report = Report(folder, pictures, CLASSES, {})
    assert report.missing == [pictures[1], pictures[3]]
    report.write(prediction(path, [[10, 20, 50, 60]], [0]) for path in report.missing)
    assert report.finish()["vesicles"] == 4
    assert pd.read_csv(folder / "detections.csv")["image"].value_counts().to_dict() == {"a.png": 1, "b.png": 1, "c.png": 1, "d.png": 1}
    assert sorted(pd.read_csv(folder / "images.csv")["image"]) == ["a.png", "b.png", "c.png", "d.png"]
    assert pd.read_csv(folder / "images.csv")["error"].isna().all()


def test_pictures_unlike_the_training_are_pointed_out(tmp_path: Path) -> None:
    one = prediction(tmp_path / "a.png", [[0, 0, 40, 40], [50, 50, 90, 90]], [0, 0], pixel_size_nm=2.0)  # 20 px in the network's input
    for learned, words in (
        (Learned(), None),
        (Learned([10, 30], [3.0, 4.0]), None),  # half as many pixels in the network's input
        (Learned([10, 30], [1.0, 2.0]), "seen at 4 nm per pixel, outside the training's 1 to 2 nm"),
        (Learned([10, 30], [1.0, 1.5], pixel_size_nm=1.2), None),  # rescaled: any will do
        (Learned([24, 30]), None),  # a little beyond is no reason to worry
        (Learned([26, 30]), "objects smaller than those of the training (26 to 30 px"),
        (Learned([5, 15]), "objects larger"),
    ):
        said = doubt(one, one.detections, learned)
        assert said is None if words is None else said is not None and said.startswith(words)
    unknown = prediction(tmp_path / "a.png", [], [])
    assert str(doubt(unknown, unknown.detections, Learned(pixel_size_nm=1.5))).startswith("pixel size unknown")


def test_what_the_terminal_says(written: tuple[Path, dict]) -> None:
    said = tell(written[1] | {"warnings": [{"image": "a", "warning": "odd"}, {"image": "b", "warning": "odd"}]}, written[0])
    assert said.startswith("4 found in 3 pictures")
    assert "median 100.0 nm" in said
    assert "4 ms read, 12 ms network, 2 ms suppression" in said
    assert "warning: 2 of 3 pictures: odd" in said
    assert "mAP" not in said
    metrics = {"pictures": 2, "objects": 9, "pictures_without_truth": 1, "pictures_not_analysable": 0, "threshold": 0.4}
    metrics |= {"map": 0.5, "map_50": 0.75, "precision": None, "recall": 1.0, "f1": 0.9}
    said = tell(written[1], written[0], metrics)
    assert "scored 2 pictures with 9 objects; 1 have no truth of their name and size: metrics.json" in said
    assert "mAP 0.500, mAP50 0.750, recall 1.000, F1 0.900 at score 0.4" in said
    nothing = dict.fromkeys(metrics) | {"pictures": 0, "objects": 0, "pictures_without_truth": 3, "pictures_not_analysable": 0}
    assert "nothing could be scored" in tell(written[1], written[0], nothing)
    among = tell(written[1], written[0], metrics | {"pictures_not_analysable": 1})
    assert "scored 2 pictures, 1 not analysable ones among them, with 9 objects" in among
    in_pixels = tell(written[1] | {"diameter_nm": None}, written[0])
    assert "px (the files do not say how many nm a pixel is: give pixel_size=, or pixel_size=scalebar)" in in_pixels


def test_a_picture_is_done_only_when_all_else_of_it_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[tuple[str, str]] = []

    @contextmanager
    def table(path: Path, columns: tuple[str, ...]) -> Iterator[Callable[[list[dict]], None]]:
        yield lambda rows: written.extend((path.name, row["image"]) for row in rows)

    monkeypatch.setattr(module, "open_table", table)
    pictures = [tmp_path / "a.png", tmp_path / "b.png"]
    report = Report(tmp_path / "out", pictures, CLASSES, {})
    report.write(prediction(path, [[10, 20, 50, 60]], [0]) for path in pictures)
    assert written == [("detections.csv", "a.png"), ("images.csv", "a.png"), ("detections.csv", "b.png"), ("images.csv", "b.png")]
    (tmp_path / "out" / "labels" / "a.txt").unlink()
    (tmp_path / "out" / "labels" / "a.txt").mkdir()  # cannot be written
    written.clear()
    with pytest.raises(OSError, match="labels"):
        report.write([prediction(pictures[0], [[10, 20, 50, 60]], [0])])
    assert written == []


def test_an_interruption_cannot_come_between_rows_and_nothing_follows_half_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[str] = []

    @contextmanager
    def table(path: Path, columns: tuple[str, ...]) -> Iterator[Callable[[list[dict]], None]]:
        def write(rows: list[dict]) -> None:
            assert threading.current_thread() is not threading.main_thread()  # which Ctrl-C interrupts
            if rows[0]["image"] == "b.png":
                raise OSError("no space left")
            written.extend(row["image"] for row in rows)

        yield write

    monkeypatch.setattr(module, "open_table", table)
    pictures = [tmp_path / f"{name}.png" for name in "abcdefgh"]
    report = Report(tmp_path / "out", pictures, CLASSES, {})
    with pytest.raises(OSError, match="no space left"):
        report.write(prediction(path, [[10, 20, 50, 60]], [0]) for path in pictures)
    assert written == ["a.png", "a.png"]


def test_measured_diameters_are_what_is_scored(tmp_path: Path) -> None:
    """Those of outlines where vesicles are shown, those of boxes where they are too weak for it."""
    known: list[dict[Path, np.ndarray]] = []

    class Known:
        def fits(self, picture: Path, hw: tuple[int, ...]) -> bool:
            return True

        def figures(self, *_: object) -> dict:
            return {}

        def scores(self, *arguments: Any) -> dict:
            known.append(arguments[4])
            return {}

    path = tmp_path / "a.png"
    one = disc(path)
    weak = Detections(np.array([[2, 2, 12, 42]], np.float32), np.array([0.1], np.float32), np.array([0]))
    found = one.found.detections
    together = Detections(*(np.concatenate((getattr(found, name), getattr(weak, name))) for name in ("boxes", "scores", "labels")))
    report = Report(tmp_path / "out", [path], CLASSES, {}, score=0.3, contour=True, truth=Known(), quality="ignore")  # type: ignore[arg-type]
    report.write([one._replace(found=one.found._replace(detections=together))])
    report.finish()
    table = pd.read_csv(tmp_path / "out" / "detections.csv")
    np.testing.assert_allclose(known[0][path], [*table["diameter_px"], 20], atol=0.01)
    assert table["diameter_px"][0] < table["box_diameter_px"][0] - 2


def test_interrupted_at_the_very_end_it_comes_back_for_the_scores(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Known:
        """Stands for a Truth."""

        def fits(self, picture: Path, hw: tuple[int, ...]) -> bool:
            return True

        def figures(self, *known: object) -> dict:
            return {}

        def scores(self, found: dict[Path, Detections], *known: object) -> dict:
            return {"pictures": len(found), "boxes": sum(map(len, found.values()))}

    def stop(*_: object) -> None:
        raise KeyboardInterrupt

    path = tmp_path / "a.png"
    report = Report(tmp_path / "out", [path], CLASSES, {}, score=0.8, truth=Known())  # type: ignore[arg-type]
    report.write([prediction(path, [[10, 20, 50, 60], [1, 2, 9, 9]], [0, 0])])
    monkeypatch.setattr(module, "coco_dataset", stop)
    with pytest.raises(KeyboardInterrupt):
        report.finish()
    monkeypatch.undo()
    again = Report(tmp_path / "out", [path], CLASSES, {}, score=0.8, truth=Known())  # type: ignore[arg-type]
    assert again.missing == []
    again.finish()
    assert again.metrics == {"pictures": 1, "boxes": 2, "pictures_without_truth": 0, "pictures_not_analysable": 0}
    assert not (tmp_path / "out" / ".kept").exists()

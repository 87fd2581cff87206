"""The check before training: every rule by hand, and the command on data sets whose faults are known."""

import base64
import csv
import dataclasses
import json
import logging
import re
import runpy
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import tifffile
import torch
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from matplotlib.figure import Figure
from numpy.typing import NDArray
from omegaconf import OmegaConf

from exolight.annotated_image import AnnotatedImage
from exolight.data.annotations import read_coco
from exolight.data.augmentation import Augmentation
from exolight.data.check import problems as rules
from exolight.data.check import report
from exolight.data.check.overview import PICTURE_COLUMNS, Overview
from exolight.data.check.page import Table, page
from exolight.data.check.problems import Look, Problem, ranked, told
from exolight.data.check.report import collected, look
from exolight.data.check.scales import Scales, scales_of
from exolight.data.datamodule import DetectionDataModule
from exolight.data.duplicates import Likeness, Similar
from exolight.data.fingerprints import fingerprint
from exolight.errors import InputError
from exolight.micrograph import Micrograph

CONF = Path(__file__).parents[2] / "conf"
GOOD = (20.0, 20.0, 60.0, 50.0)


def picture(name: str, *boxes: tuple[float, ...], labels: list[int] | None = None, ignore: list[bool] | None = None, nm: float | None = None) -> AnnotatedImage:
    count = len(boxes)
    return AnnotatedImage(
        name,
        partial(Micrograph, np.zeros((100, 200), np.uint8), nm),
        (100, 200),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array(labels or [0] * count, np.int64),
        np.array(ignore or [False] * count, bool),
        pixel_size_nm=nm,
    )


def seen(nm: float | None = None, **changes: object) -> Look:
    return Look("uint8", (100, 200), nm, "unknown" if nm is None else "ImageJ TIFF")._replace(**changes)


def said(problems: list[Problem]) -> list[tuple[str, str, str]]:
    return [problem[:3] for problem in problems]


# Rules -----------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("boxes", "severity", "expected"),
    [
        ([GOOD, (10, 10, 10, 20)], "error", "1 object without area (object 2 at x 10, y 10)"),
        ([(30, 30, 20, 40), (5, 9, 7, 8)], "error", "2 objects without area (first object 1 at x 30, y 30)"),
        ([(10, 10, np.nan, 20)], "error", "1 object without area (object 1 at x 10, y 10)"),
        ([(150, 50, 240, 90)], "error", "1 object not within the picture of 200 x 100 px (object 1 at x 150, y 50)"),
        ([(150, 50, 190, 110)], "error", "1 object not within the picture of 200 x 100 px (object 1 at x 150, y 50)"),
        ([GOOD, (-3, 50, 40, 90)], "error", "1 object not within the picture of 200 x 100 px (object 2 at x -3, y 50)"),
        ([(1, 1, 199, 99)], "warning", "1 object as large as the picture (object 1 at x 1, y 1)"),
        ([GOOD, (70, 10, 90, 15)], "warning", "1 object narrower than 3 px for the network, down to 2.50 px (object 2 at x 70, y 10)"),
        ([GOOD, (70, 10, 90, 40), (70.5, 10, 90, 40)], "warning", "objects 2 and 3 are the same box (IoU 0.97)"),
    ],
)
def test_boxes_that_cannot_be_right(boxes: list[tuple[float, ...]], severity: str, expected: str) -> None:
    """Seen by the network at half the size, so that 5 px are 2.5."""
    assert said(rules.object_problems(picture("a.png", *boxes), (0.5, 0.5), 3.0)) == [(severity, "a.png", expected)]


def test_boxes_that_are_right() -> None:
    within_rounding = (-0.4, 60, 40, 100.4)
    assert rules.object_problems(picture("a.png", GOOD, within_rounding, (60, 20, 100, 50)), (1.0, 1.0), 3.0) == []
    assert rules.object_problems(picture("a.png"), (1.0, 1.0), 3.0) == []
    assert rules.object_problems(picture("a.png", (0, 0, 200, 100), (5, 5, 6, 6), GOOD, ignore=[True, True, True]), (1.0, 1.0), 3.0) == []
    assert rules.object_problems(picture("a.png", (5, 5, 6, 6)), (float("nan"), float("nan")), 3.0) == []  # nobody knows how large
    two = rules.object_problems(picture("a.png", GOOD, GOOD, labels=[0, 1]), (1.0, 1.0), 3.0)
    assert "of two classes" in two[0].found


def test_pictures_that_cannot_be_right() -> None:
    blank = seen(fingerprint=fingerprint(np.full((100, 200), 7, np.uint8)))
    grain = seen(fingerprint=fingerprint(np.random.default_rng(0).integers(0, 255, (100, 200), dtype=np.uint8)))
    broken = Look(error="/d/a.png: cut short; copy it again")
    assert rules.picture_problems(picture("a.png"), grain, False) == []
    assert rules.picture_problems(picture("a.png"), broken, True) == [Problem("error", "a.png", "cut short", "copy it again")]
    assert said(rules.picture_problems(picture("a.png"), blank, False)) == [("warning", "a.png", "all of the picture is of one grey")]
    turned = rules.picture_problems(picture("a.png"), seen(hw=(200, 100)), False)
    assert said(turned) == [("error", "a.png", "the picture is 100 x 200 px, its annotation is of 200 x 100 px")]
    assert "data.target_nm_per_pixel" in rules.picture_problems(picture("a.png"), grain, True)[0].found
    assert rules.picture_problems(picture("a.png", nm=2.0), grain, True) == []
    drifted, torn = (grain._replace(quality=verdict, reason="why") for verdict in ("warn", "reject"))
    assert said(rules.picture_problems(picture("a.png"), drifted, False)) == [("note", "a.png", "why")]
    assert said(rules.picture_problems(picture("a.png"), torn, False)) == [("warning", "a.png", "why")]


@pytest.mark.parametrize(
    ("kind", "parts", "severity", "expected"),
    [
        (Likeness.SAME, {"a": "train", "b": "val"}, "error", "on both sides of the split"),
        (Likeness.SAME, {"a": "train", "b": "train"}, "warning", "which counts twice"),
        (Likeness.SAME, {"a": "train"}, "warning", "which counts twice"),
        (Likeness.COPY, {"a": "train", "b": "test"}, "warning", "look alike"),
        (Likeness.COPY, {"a": "val", "b": "val"}, "note", "look alike"),
        (Likeness.OVERLAP, {"a": "train", "b": "test"}, "warning", "seem to overlap, on both sides"),
        (Likeness.OVERLAP, {}, "note", "seem to overlap"),
    ],
)
def test_duplicates(kind: Likeness, parts: dict[str, str], severity: str, expected: str) -> None:
    (problem,) = rules.duplicate_problems([picture("a"), picture("b")], [Similar(0, 1, kind)], parts)
    assert problem.severity == severity
    assert expected in problem.found
    assert problem.where == " and ".join(name + (f" ({parts[name]})" if name in parts else "") for name in "ab")


def pixel_sizes(*sizes: float | None, side: float = 50) -> list[Problem]:
    images = [dataclasses.replace(picture(f"{k}.tif", (0, 0, side, side)), path=Path(f"{k}.tif")) for k in range(len(sizes))]
    return rules.pixel_size_problems(images, [seen(size) for size in sizes])


def test_pixel_sizes() -> None:
    assert pixel_sizes(1.0, 1.2, 1.4) == []
    assert said(pixel_sizes(None, None)) == [("note", "", "no picture says how many nm a pixel is")]
    assert said(pixel_sizes(1.0, None, None)) == [("warning", "", "nm per pixel unknown in 2 pictures (1.tif, 2.tif), known in the other 1")]
    (mixed,) = pixel_sizes(2.0, 0.4)
    assert mixed.found == "mixed magnifications: 0.4 nm per pixel in 1 picture (1.tif), 2 nm per pixel in 1 picture (0.tif)"
    assert mixed.advice == "sizes in nm are right only if each of these is"
    simulated = [picture("a", (0, 0, 50, 50)), picture("b", (0, 0, 50, 50))]
    assert rules.pixel_size_problems(simulated, [seen(1.0), seen(2.5)]) == []
    assert said(pixel_sizes(18.0, side=90)) == [("warning", "", "the objects' median diameter is 1.62e+03 nm, which vesicles do not have")]
    assert said(pixel_sizes(0.1, side=40)) == [("warning", "", "the objects' median diameter is 4 nm, which vesicles do not have")]
    assert rules.pixel_size_problems([picture("a")], [Look(error="a: gone")]) == []


def test_diameters_are_those_of_what_counts() -> None:
    image = picture("a", (0, 0, 4, 9), (0, 0, 50, 50), (9, 9, 5, 5), ignore=[False, True, False])
    np.testing.assert_allclose(rules.diameters(image), [6, 0])


def test_classes() -> None:
    def of(name: str, *labels: int) -> AnnotatedImage:
        return picture(name, *[GOOD] * len(labels), labels=list(labels))

    many, rare = of("a", *[0] * 300, *[1] * 20), of("b", *[2] * 9)
    parts = {"a": "train", "b": "val"}
    assert rules.class_problems([many], ["cup", "solid"], {"a": "train"}) == []
    found = said(rules.class_problems([many, rare], ["cup", "solid", "tube", "ghost"], parts))
    assert found == [
        ("error", "class tube", "9 objects, none in the training part"),
        ("warning", "class ghost", "no object of it"),
        ("note", "", "33 times as many objects of cup as of tube"),
    ]
    assert said(rules.class_problems([many, rare], ["cup", "solid", "tube"], {}))[0] == ("warning", "class tube", "only 9 objects")
    assert said(rules.class_problems([of("a")], ["cup"], {"a": "train"})) == [("error", "", "not one object in 1 picture")]


def test_pictures_without_objects() -> None:
    full = [picture(f"full {k}", *[GOOD] * 5) for k in range(5)]
    empty = [picture(f"empty {k}", (0, 0, 9, 9), ignore=[True]) for k in range(6)]
    assert said(rules.class_problems([*full, *empty[:2]], ["x"], {})) == [("note", "", "2 pictures (empty 0, empty 1) without objects")]
    assert said(rules.class_problems([*full, *empty], ["x"], {}))[-1] == (
        "warning", "", "6 pictures (empty 0, empty 1, empty 2, ...) without objects, more than half"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        ("/d/a b.txt:12: class 7; correct it", ("/d/a b.txt:12", "class 7", "correct it")),
        ("C:\\d\\a.json: annotations[3] (id 4): no bbox; draw; again", ("C:\\d\\a.json", "annotations[3] (id 4): no bbox; draw", "again")),
        ("/d/a.tif: one\n thing; do", ("/d/a.tif", "one thing", "do")),
        ("too few pictures", ("", "too few pictures", "")),
        ("a.tif: read", ("a.tif", "read", "")),
    ],
)
def test_a_readers_line_is_taken_apart(message: str, expected: tuple[str, ...]) -> None:
    assert told("error", message) == ("error", *expected)


def test_the_worst_comes_first_and_nothing_twice() -> None:
    note, warning, error, other = (Problem(s, w, "x", "") for s, w in (("note", "a"), ("warning", "z"), ("error", "m"), ("error", "b")))
    assert ranked([note, warning, error, note, other]) == [other, error, warning, note]


# Scales ----------------------------------------------------------------------------------------------------------------------------------------------------


def module(images: list[AnnotatedImage], **arguments: object) -> DetectionDataModule:
    return DetectionDataModule(lambda: (images, ["x"]), Augmentation(min_side=4.0), image_size=400, **arguments)  # type: ignore[arg-type]


def test_what_each_image_size_does_to_the_smallest_objects() -> None:
    """200 x 100 px into 320, 400, 512, ...: 1.6, 2, 2.56 times the size."""
    images = [picture("a", (0, 0, 3, 2), (0, 0, 20, 40)), picture("b", (0, 0, 30, 30), (0, 0, 200, 1), ignore=[False, True])]
    scales = scales_of(images, module(images), OmegaConf.create({"strides": [8, 16, 32], "anchors": None, "head": "anchor"}), 0.98)
    assert (scales.least_px, scales.stride, tuple(scales.anchors.shape)) == (4.0, 8, (3, 3, 2))
    assert list(scales.sizes) == [320, 400, 512, 640, 1024]
    np.testing.assert_allclose(scales.sizes[400], [[6, 4], [40, 80], [60, 60]])
    np.testing.assert_allclose(scales.sizes[320], np.array([[3, 2], [20, 40], [30, 30]]) * 1.6)
    assert scales.factors == {"a": (2.0, 2.0), "b": (2.0, 2.0)}
    rows = {row[0]: row[1:] for row in scales.table().rows}
    assert rows["400 (data.image_size)"][:6] == ["4.0", "4.7", "40.0", "60.0", "0.0%", "33.3%"]
    assert rows["320"][4:7] == ["33.3%", "33.3%", "66.7%"]  # 4.8 x 3.2 px: the smallest anchor's 13 px are more than four times 3.2


def test_scales_for_a_head_without_anchors() -> None:
    """No anchors, no recall of theirs: the table ends before, and a long thin object is no note."""
    images = [picture("a", (0, 0, 30, 30), (0, 0, 190, 9))]
    strides = {"strides": [8, 16, 32], "anchors": None}
    with_anchors, without = (scales_of(images, module(images), OmegaConf.create(strides | {"head": head}), 0.98) for head in ("anchor", "distribution"))
    assert without.anchors is None
    assert len(with_anchors.problems()) == 1
    assert without.problems() == []
    assert [*without.table().columns, "anchors' best possible recall", "... once fitted"] == list(with_anchors.table().columns)
    assert [row[: len(without.table().columns)] for row in with_anchors.table().rows] == [list(row) for row in without.table().rows]


def test_scales_that_do_not_depend_on_the_image_size() -> None:
    images = [picture("a", (0, 0, 30, 30), nm=1.0), picture("b", (0, 0, 30, 30), (0, 0, 10, 20))]
    model = OmegaConf.create({"strides": [4], "anchors": [[[3, 3], [5, 5]]], "head": "anchor"})
    tiled = scales_of(images, module(images, tile=400), model, 0.98)
    assert list(tiled.sizes) == [400]
    assert tiled.factors == {"a": (1.0, 1.0), "b": (1.0, 1.0)}
    assert tiled.anchors.tolist() == [[[3, 3], [5, 5]]]
    target = scales_of(images, module(images, target_nm_per_pixel=2.0), model, 0.98)
    np.testing.assert_allclose(target.sizes[400], [[15, 15]])
    assert target.factors["a"] == (0.5, 0.5)
    assert np.isnan(target.factors["b"]).all()
    assert "do not depend on the image size" in target.table().sentence


def test_problems_of_scale() -> None:
    def problems(sizes: list[list[float]]) -> list[tuple[str, str, str]]:
        anchors = torch.tensor([[[10.0, 10.0]]])
        return said(Scales(512, {512: np.array(sizes).reshape(-1, 2)}, {}, 3.0, 8, anchors, 0.98).problems())

    assert problems([[20, 20]] * 3) == problems([]) == []
    assert problems([[7, 30], [5, 5], [20, 20]]) == [
        ("warning", "", "half of the objects are narrower than 7.0 px at data.image_size=512, less than one cell of stride 8")
    ]
    assert problems([[20, 20], [90, 20]]) == [("note", "", "the anchors as they are can match 50.0% of the objects at data.image_size=512")]


# What is written -------------------------------------------------------------------------------------------------------------------------------------------


def test_a_look_at_a_picture() -> None:
    pixels = np.random.default_rng(0).integers(0, 60000, (40, 30), dtype=np.uint16)
    image = dataclasses.replace(picture("a"), reader=partial(Micrograph, pixels, 1.5, "OME-TIFF"))
    assert look(image, quality=False)[:4] == ("uint16", (40, 30), 1.5, "OME-TIFF")
    assert look(dataclasses.replace(image, reader=partial(Micrograph, pixels, 1.2, "user"), pixel_size_nm=1.2), False)[2:4] == (1.2, "annotation")
    assert look(dataclasses.replace(image, reader=partial(Micrograph, pixels)), False)[2:4] == (None, "unknown")

    def broken() -> Micrograph:
        raise InputError("a: gone; find it")

    assert look(dataclasses.replace(image, reader=broken), True) == Look(error="a: gone; find it")


def test_what_the_package_says_is_collected_and_not_printed(caplog: pytest.LogCaptureFixture) -> None:
    logger = logging.getLogger("exolight.some.reader")
    with collected() as problems:
        logger.warning("%s: a stack; save it", "a.tif")
        logger.info("%s: without labels", "root")
    logger.warning("afterwards")
    assert said(problems) == [("warning", "a.tif", "a stack"), ("note", "root", "without labels")]
    assert caplog.messages == ["afterwards"]


def test_a_page_holds_everything_and_asks_nothing_of_the_network(tmp_path: Path) -> None:
    figure = tmp_path / "labels.png"
    content = b"\x89PNG fake"
    figure.write_bytes(content)
    problems = [Problem("error", f"<b>{k}", "x & y", "'do'") for k in range(301)]
    text = page("<Data>", "lead", problems, [Table("T", "s", ("a", "b"), [["1", "<2>"]])], {figure: "what \udce4 is"})
    assert f"data:image/png;base64,{base64.b64encode(content).decode()}" in text
    assert "&lt;b&gt;0" in text
    assert "<b>" not in text
    assert "1 more are in problems.csv" in text
    assert "<td>1</td><td>&lt;2&gt;</td>" in text
    assert not re.findall(r"(?:https?:|//|<script|<link|@import)", text)
    text.encode("utf-8")
    assert "None found" in page("t", "l", [], [], {})


def test_rows_of_the_pictures_and_of_the_parts() -> None:
    images = [picture("a", (0, 0, 4, 9), (0, 0, 8, 8), labels=[0, 1], nm=2.0), picture("b", (0, 0, 9, 9), ignore=[True]), picture("c", (0, 0, 10, 10))]
    looks = [seen(2.0), seen(), Look(error="c: gone")]
    scales = Scales(512, {512: np.ones((1, 2))}, {}, 3.0, 8, torch.ones(1, 1, 2), 0.98)
    overview = Overview(images, ["cup", "solid"], looks, {"a": "train", "b": "val"}, [], scales)
    rows = overview.picture_rows([Problem("note", "a", "x", ""), Problem("error", "a", "y", ""), Problem("error", "c", "z", "")])
    assert set().union(*rows) == set(PICTURE_COLUMNS)
    assert {key: rows[0][key] for key in ("part", "objects", "nm_per_pixel", "smallest_px", "median_px", "largest_nm", "problems")} == {
        "part": "train", "objects": 2, "nm_per_pixel": 2.0, "smallest_px": 6.0, "median_px": 7.0, "largest_nm": 16.0, "problems": 2
    }  # fmt: skip
    assert (rows[1]["objects"], rows[1]["ignored"], "smallest_px" in rows[1]) == (0, 1, False)
    assert (rows[2]["part"], rows[2]["smallest_nm"], rows[2]["problems"]) == ("", None, 1)
    parts, sizes, recorded, _ = overview.tables()
    assert parts.columns == ("part", "pictures", "without objects", "groups", "objects", "cup", "solid", "ignored regions")
    assert parts.rows == [
        ["train", "1", "0", "1", "2", "1", "1", "0"],
        ["val", "1", "1", "1", "0", "0", "0", "1"],
        ["left out", "1", "0", "1", "1", "1", "0", "0"],
        ["all", "3", "1", "3", "3", "2", "1", "1"],
    ]
    assert sizes.rows == [["px", "3", "6.0", "6.2", "8.0", "9.8", "10.0"], ["nm", "2", "12.0", "12.2", "14.0", "15.8", "16.0"]]
    assert ["1", "uint8", "200", "100", "2", "ImageJ TIFF"] in list(recorded.rows)
    assert ["1", "cannot be read", "200", "100", "-", "unknown"] in list(recorded.rows)
    judged = overview._replace(looks=[look._replace(quality=verdict) for look, verdict in zip(looks, ("usable", "usable", "reject"), strict=True)])
    assert judged.tables()[-1].rows == [["usable", "2"], ["warn", "0"], ["reject", "1"]]
    assert [row["quality"] for row in judged.picture_rows([])] == ["usable", "usable", "reject"]


# The command -----------------------------------------------------------------------------------------------------------------------------------------------


class Finished(NamedTuple):
    status: int
    out: str
    err: str


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Callable[..., Finished]]:
    """``python -m exolight.data.check ARGUMENTS`` within this process, from a folder of its own."""
    monkeypatch.chdir(tmp_path)
    save = report.save

    def mark(figure: Figure, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"")

    def command(*arguments: str, drawn: bool = False) -> Finished:
        monkeypatch.setattr(report, "save", save if drawn else mark)  # drawing takes most of a small check's time
        monkeypatch.setattr(sys, "argv", ["check", *arguments])
        with pytest.raises(SystemExit) as left:
            runpy.run_module("exolight.data.check", run_name="__main__")
        GlobalHydra.instance().clear()
        assert isinstance(left.value.code, int)
        return Finished(left.value.code, *capfd.readouterr())

    yield command
    GlobalHydra.instance().clear()


def grain(seed: int, hw: tuple[int, int] = (96, 128)) -> NDArray[np.uint8]:
    smooth = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, hw), (0, 0), 1.5)
    return np.clip(smooth / smooth.std() * 40 + 128, 0, 255).astype(np.uint8)


def data_set(root: Path, count: int = 10) -> Path:
    """``count`` pictures with their nm per pixel and two boxes each, in YOLO's layout."""
    for name in ("images", "labels"):
        (root / name).mkdir(parents=True)
    for k in range(count):
        tifffile.imwrite(root / "images" / f"{k}.tif", grain(k), imagej=True, resolution=(500, 500), metadata={"unit": "um"})
        (root / "labels" / f"{k}.txt").write_text("0 0.3 0.5 0.25 0.3\n0 0.7 0.4 0.2 0.3\n")
    return root


def table(path: Path) -> list[dict[str, str]]:
    with path.open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def test_all_is_well(run: Callable[..., Finished], tmp_path: Path) -> None:
    data_set(tmp_path / "EV (1), µ")
    done = run("data=yolo", "data.root=EV (1), µ", "out=report {1}", drawn=True)
    assert (done.status, done.err) == (0, "")
    assert done.out.startswith("10 pictures with 20 objects: 0 errors, 0 warnings, 0 notes; the page is report {1}")
    out = tmp_path / "report {1}"
    assert sorted(path.name for path in out.iterdir()) == ["check.html", "figures", "pictures.csv", "problems.csv"]
    assert {path.stem for path in (out / "figures").glob("*.png")} == {"labels", "labels_correlogram", "image_sizes", "batch_labels", "train_batch"}
    assert (out / "problems.csv").read_text().strip() == "severity,where,found,advice"
    rows = table(out / "pictures.csv")
    assert [row["image"] for row in rows] == [f"images/{k}.tif" for k in range(10)]
    assert {float(row["nm_per_pixel"]) for row in rows} == {2.0}
    assert {row["nm_per_pixel_source"] for row in rows} == {"ImageJ TIFF"}
    assert [sum(row["part"] == part for row in rows) for part in ("train", "val", "test")] == [7, 2, 1]
    text = (out / "check.html").read_text("utf-8")
    assert text.count("data:image/png;base64,iVBORw0KGgo") == 5  # PNG's signature
    assert "Data set EV (1), µ" in text


def test_faults_are_found_and_hide_no_others(run: Callable[..., Finished], tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", 12)
    whole = (root / "images" / "0.tif").read_bytes()
    (root / "images" / "0.tif").write_bytes(whole[:6000])
    cv2.imwrite(str(root / "images" / "same.png"), grain(1))
    cv2.imwrite(str(root / "images" / "turned.png"), grain(2, (128, 128)).T.copy())
    cv2.imwrite(str(root / "images" / "2.png"), grain(2, (128, 128)))
    (root / "images" / "2.tif").unlink()
    (root / "labels" / "3.txt").write_text("0 0.5 0.5 0.004 0.1\n")
    cv2.imwrite(str(root / "images" / "blank.bmp"), np.full((96, 128), 3, np.uint8))
    parts = "{train: [1.tif, 2.png, 3.tif, 4.tif, 5.tif, 6.tif], val: [same, turned, 0.tif]}"
    done = run("data=yolo", "data.root=data", f"data.split={parts}", "out=out")
    assert done.status == 1
    rows = [(row["severity"], row["where"]) for row in table(tmp_path / "out" / "problems.csv")]
    assert rows[:6] == [
        ("error", "images/0.tif"),
        ("error", "images/1.tif (train) and images/same.png (val)"),
        ("warning", ""),
        ("warning", "images/2.png (train) and images/turned.png (val)"),
        ("warning", "images/3.tif"),
        ("warning", "images/blank.bmp"),
    ]
    assert {severity for severity, _ in rows[6:]} == {"note"}
    said = " ".join(row["found"] for row in table(tmp_path / "out" / "problems.csv"))
    assert "3 of 15 pictures have no label file" in said
    assert "nm per pixel unknown in 4 pictures (2.png, blank.bmp, same.png, ...), known in the other 10" in said
    pictures = {row["image"]: row for row in table(tmp_path / "out" / "pictures.csv")}
    assert (pictures["images/0.tif"]["problems"], pictures["images/3.tif"]["problems"], pictures["images/4.tif"]["problems"]) == ("1", "1", "0")
    assert pictures["images/blank.bmp"]["part"] == ""
    assert (tmp_path / "out" / "figures" / "duplicates.png").is_file()


def test_a_split_that_is_impossible_is_one_problem_of_several(run: Callable[..., Finished], tmp_path: Path) -> None:
    data_set(tmp_path / "data", 4)
    done = run("data=yolo", "data.root=data", "data.split={train: [0.tif, gone]}", "data.image_size=64", "out=out")
    assert done.status == 1
    rows = table(tmp_path / "out" / "problems.csv")
    assert [(row["severity"], row["where"]) for row in rows] == [("error", "data.split.train"), ("warning", "class object")]
    assert "gone is neither a picture nor a folder" in rows[0]["found"]
    assert {row["part"] for row in table(tmp_path / "out" / "pictures.csv")} == {""}


def test_what_is_wrong_with_the_annotation_is_listed_to_the_last_line_and_the_rest_is_looked_at(run: Callable[..., Finished], tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", 40)
    (root / "labels" / "1.txt").write_text("0 0.5 0.5 0.2 0.2\n0 1.5 0.5 0.1 0.1\n0 0.3 0.3 0 0.1\n")
    (root / "labels" / "orphan.txt").write_text("0 0.5 0.5 0.2 0.2\n")
    (root / "images" / "0.tif").write_bytes(b"no picture")
    for k in range(2, 32):
        (root / "labels" / f"{k}.txt").write_text("0 0.5 0.5 0.2 0.2\nhello\n")
    done = run("data=yolo", "data.root=data", "data.image_size=64", "out=out")
    assert done.status == 1
    rows = [row for row in table(tmp_path / "out" / "problems.csv") if row["severity"] == "error"]
    broken = [f"labels/{k}.txt:2" for k in range(2, 32)]
    assert [row["where"] for row in rows] == sorted(["images/0.tif", "labels/1.txt:2", "labels/1.txt:3", "labels/orphan.txt", *broken])
    found = {row["where"]: row["found"] for row in rows}
    assert "outside the picture" in found["labels/1.txt:2"]
    assert "without area" in found["labels/1.txt:3"]
    assert "not all numbers: 'hello'" in found["labels/31.txt:2"]
    pictures = {row["image"]: row for row in table(tmp_path / "out" / "pictures.csv")}
    assert len(pictures) == 39
    assert [pictures[f"images/{k}.tif"]["objects"] for k in (1, 2, 39)] == ["1", "1", "2"]
    assert done.out.startswith(f"39 pictures with {1 + 30 + 16} objects: 34 errors")
    assert "and 24 more" in done.out


def test_where_nothing_can_be_read_one_line_says_so_and_a_table_what_is_wrong(run: Callable[..., Finished], tmp_path: Path) -> None:
    root = data_set(tmp_path / "data", 3)
    for path in (root / "images").iterdir():
        path.write_bytes(b"no picture")
    done = run("data=yolo", "data.root=data", "out=out")
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert f"(and 2 more, all of them are in {Path('out') / 'problems.csv'})" in done.err
    assert [row["where"] for row in table(tmp_path / "out" / "problems.csv")] == [str(Path("data/images") / f"{k}.tif") for k in range(3)]
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["problems.csv"]


def test_impossible_boxes_of_masks_and_coco_leave_the_rest(tmp_path: Path) -> None:
    """Each format's reader goes on where it is told to gather what is wrong."""
    root = data_set(tmp_path / "data", 2)
    faulty = [(0, 1, [5, 5, 20, 20]), (0, 7, [5, 5, 20, 20]), (0, 1, [500, 5, 20, 20]), (1, 1, [5, 5, 0, 9]), (9, 1, [1, 1, 5, 5])]
    content = {
        "images": [{"id": k, "file_name": f"{k}.tif", "width": 128, "height": 96} for k in range(2)],
        "annotations": [{"id": k, "image_id": image, "category_id": kind, "bbox": box} for k, (image, kind, box) in enumerate(faulty)],
        "categories": [{"id": 1, "name": "cup"}],
    }
    (root / "a.json").write_text(json.dumps(content))
    annotation, wrong = report.read(DetectionDataModule(partial(read_coco, root), Augmentation()), tmp_path)
    assert [len(image.boxes) for image in annotation.images] == [1, 0]
    assert sorted(re.findall(r"annotations\[(\d)\]", " ".join(problem.found + problem.where for problem in wrong))) == ["1", "2", "3", "4"]
    with pytest.raises(InputError, match=r"\(and 3 more problems, logged above\)"):
        read_coco(root)  # anywhere else it is an error as ever


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["data=yolo"], "data.root is missing: give data.root=..."),
        (["data=yolo", "data.root=nowhere"], "nowhere: no such folder"),
        (["data=yolo", "data.root=data", "out=data"], "out=data: already holds files"),
        (["data=yolo", "data.root=data", "out=data/report"], "out=data/report: lies within data.root"),
        (["data=yolo", "data.root=data", "out=null"], "out is missing"),
        (["data=yolo", "data.root=data", "data.image_size=3"], "data.image_size=3"),
        (["data=yollo", "data.root=data"], "did you mean data=yolo?"),
        (["data=yolo", "data.roott=data"], "did you mean data.root=?"),
    ],
)
def test_what_is_mistyped_is_one_clear_line(arguments: list[str], expected: str, run: Callable[..., Finished], tmp_path: Path) -> None:
    data_set(tmp_path / "data", 1)
    done = run(*arguments)
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("error: ")
    assert done.err.count("\n") == 1
    assert expected in done.err
    assert [path.name for path in (tmp_path / "data").iterdir()] == ["images", "labels"] or arguments[1:] == ["data.root=nowhere"]


def test_the_embedded_data_set_is_clean_and_the_default_folder_is_dated(run: Callable[..., Finished], tmp_path: Path) -> None:
    done = run("data.source.count=8", "data.source.image_hw=[160,160]", "data.source.stream=true", "data.image_size=160", "data.split=all")
    assert re.match(r"8 pictures with \d+ objects: 0 errors", done.out)
    (out,) = (tmp_path / "outputs" / "check").iterdir()
    assert re.fullmatch(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d", out.name)
    assert {row["nm_per_pixel_source"] for row in table(out / "pictures.csv")} == {"simulation"}


def test_the_configuration_names_settings_of_training() -> None:
    with initialize_config_dir(str(CONF), version_base="1.3"):
        own, train = compose("check"), compose("train")
    assert own.anchor_recall == train.anchor_recall
    assert own.seed == train.seed
    for group in ("data", "model", "augmentation"):
        assert own[group] == train[group]


def test_real_pictures_have_no_errors(run: Callable[..., Finished], real_data: Path, tmp_path: Path) -> None:
    done = run("data=masks", f"data.root={real_data / 'exosomes'}", "out=out")
    assert "8 pictures with" in done.out
    assert "0 errors" in done.out

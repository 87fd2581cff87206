"""Every writer against its reader, every source into every format, and what the command says when it cannot."""

import json
import sys
from collections.abc import Iterable
from pathlib import Path
from xml.etree import ElementTree

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations import READERS, read_folder
from exolight.data.annotations.detect import detect_format
from exolight.data.annotations.pictures import annotated_picture
from exolight.data.annotations.prediction import read_scored
from exolight.data.convert import convert, main, read_command
from exolight.data.writers import WRITERS, Item
from exolight.data.writers.coco import coco_annotation
from exolight.data.writers.yolo import yolo_lines
from exolight.errors import InputError

HW = (100, 200)
BOXES = [[10.25, 20.5, 40.75, 60.125], [0, 0, 200, 100], [150, 50, 151, 50.6], [99.9, 3.3, 133.3, 44.4]]
NAMES = ["vesicle", 'a cup, <half> & "half"']
FORMATS = list(WRITERS)
OUTLINED = ["coco", "cvat", "imagej", "labelstudio", "yolo"]


def picture(path: Path, hw: tuple[int, int] = HW) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".tif":
        pixels = np.random.default_rng(0).integers(0, 60000, hw).astype(np.uint16)
        tifffile.imwrite(path, pixels, imagej=True, resolution=(1 / 1.25, 1 / 1.25), metadata={"unit": "nm"})
    else:
        Image.fromarray(np.zeros(hw, np.uint8)).save(path)
    return path


def image_of(
    path: Path, root: Path, boxes: Iterable[Iterable[float]], outlines: tuple[NDArray[np.float32], ...] | None = None, hw: tuple[int, int] = HW
) -> AnnotatedImage:
    array = np.array(list(boxes), np.float32).reshape(-1, 4)
    return annotated_picture(path, root, hw, array, np.arange(len(array)) % 2, outlines=outlines)


def star(box: Iterable[float]) -> NDArray[np.float32]:
    """A polygon that fills its box from side to side."""
    x1, y1, x2, y2 = box
    return np.array([[x1, (y1 + y2) / 2], [(x1 + x2) / 2, y1], [x2, y2], [(x1 + 2 * x2) / 3, y2]], np.float32)


def write(out: Path, images: list[AnnotatedImage], format: str, scores: list[NDArray[np.float32]] | None = None) -> Path:
    out.mkdir(parents=True, exist_ok=True)
    items = [Item(image.name, image, scores[i] if scores else None) for i, image in enumerate(images)]
    for image in images:
        picture(out / "images" / image.name, image.image_hw)
    WRITERS[format](items, NAMES, out)
    return out


def as_read(root: Path, format: str) -> AnnotationSet:
    assert detect_format(root) == format
    return read_folder(root)


@pytest.mark.parametrize("format", FORMATS)
def test_round_trips_keep_boxes_classes_and_empty_pictures(tmp_path: Path, format: str) -> None:
    images = [image_of(tmp_path / name, tmp_path, boxes) for name, boxes in (("sub/µ 1, (a).png", BOXES), ("empty.png", []))]
    found = as_read(write(tmp_path / "out", images, format), format)
    by_name = {image.name: image for image in found.images}
    assert set(by_name) == {"images/sub/µ 1, (a).png", "images/empty.png"}
    full = by_name["images/sub/µ 1, (a).png"]
    np.testing.assert_allclose(full.boxes, BOXES, atol=0.01)
    assert [found.class_names[label] for label in full.labels] == [NAMES[0], NAMES[1]] * 2
    assert full.image_hw == HW
    assert len(by_name["images/empty.png"].boxes) == 0


@pytest.mark.parametrize("format", OUTLINED)
def test_round_trips_keep_outlines_unless_the_box_is_more(tmp_path: Path, format: str) -> None:
    outlines = tuple(star(box) for box in BOXES)
    image = image_of(tmp_path / "a.png", tmp_path, BOXES, outlines)
    (found,) = as_read(write(tmp_path / "whole", [image], format), format).images
    assert found.outlines is not None
    for outline, known in zip(found.outlines, outlines, strict=True):
        np.testing.assert_allclose(outline, known, atol=0.01)
    np.testing.assert_allclose(found.boxes, BOXES, atol=0.01)
    pieces = (outlines[0], star([10, 10, 100, 50]), *outlines[2:])  # the second object is in two pieces, of which this is the larger
    image = image_of(tmp_path / "a.png", tmp_path, BOXES, pieces)
    (found,) = as_read(write(tmp_path / "pieces", [image], format), format).images
    np.testing.assert_allclose(found.boxes, BOXES, atol=0.01)
    assert (found.outlines is None) == (format != "coco")  # COCO has both


sides = st.integers(1, 3000)


@st.composite
def fields(draw: st.DrawFn) -> tuple[tuple[int, int], list[list[float]]]:
    """A size (h, w) and boxes of at least a pixel within it."""
    height, width = draw(sides), draw(sides)
    boxes = []
    for _ in range(draw(st.integers(0, 6))):
        corner = [draw(st.floats(0, side - 1)) for side in (width, height)]
        size = [draw(st.floats(1, side - start)) if side - start > 1 else 1.0 for side, start in zip((width, height), corner, strict=True)]
        boxes.append([*corner, min(corner[0] + size[0], width), min(corner[1] + size[1], height)])
    return (height, width), boxes


@pytest.mark.parametrize("format", FORMATS)
def test_boxes_change_by_less_than_half_a_pixel(tmp_path: Path, format: str) -> None:
    counter = iter(range(1000))

    @settings(max_examples=15, derandomize=True, database=None, deadline=None, suppress_health_check=list(HealthCheck))
    @given(fields())
    def any_boxes(case: tuple[tuple[int, int], list[list[float]]]) -> None:
        hw, boxes = case
        root = write(tmp_path / str(next(counter)), [image_of(tmp_path / "a.png", tmp_path, boxes, hw=hw)], format)
        (found,) = READERS[format](root).images
        np.testing.assert_allclose(found.boxes, np.array(boxes, np.float32).reshape(-1, 4), atol=0.02)

    any_boxes()


def test_yolo_lines_by_hand() -> None:
    assert yolo_lines([[10, 20, 30, 60]], [3], HW) == "3 0.100000 0.400000 0.100000 0.400000\n"
    assert yolo_lines(np.array([[10, 20, 30, 60]], np.float32), np.array([3]), HW, scores=[0.98765]) == "3 0.100000 0.400000 0.100000 0.400000 0.9877\n"
    outline = np.array([[10, 20], [30, 20], [20, 60]])
    assert yolo_lines([[10, 20, 30, 60]], [0], HW, outlines=[outline]) == "0 0.050000 0.200000 0.150000 0.200000 0.100000 0.600000\n"
    assert yolo_lines([], [], HW) == ""


def test_coco_annotation_by_hand() -> None:
    plain = {"category_id": 2, "bbox": [10, 20, 20.5, 40], "area": 820, "iscrowd": 0}
    assert coco_annotation([10, 20, 30.5, 60], 2) == plain
    outline = np.array([[10, 20], [30.5, 20], [20, 60]])
    drawn = {**plain, "area": 410, "score": 0.9123, "segmentation": [[10, 20, 30.5, 20, 20, 60]]}
    assert coco_annotation([10, 20, 30.5, 60], 2, outline, 0.91234) == drawn


def test_what_other_programs_expect_to_find(tmp_path: Path) -> None:
    from roifile import ROI_TYPE, roiread

    image = image_of(tmp_path / "a.png", tmp_path, BOXES[:2])
    for format in FORMATS:
        write(tmp_path / format, [image], format)
    root = ElementTree.parse(tmp_path / "voc/annotations/a.xml").getroot()
    assert [root.findtext(key) for key in ("filename", "size/width", "object/bndbox/xmin", "object/bndbox/ymax")] == ["a.png", "200", "10.25", "60.12"]
    image_node = ElementTree.parse(tmp_path / "cvat/annotations.xml").getroot().find("image")
    assert image_node is not None
    assert image_node.attrib == {"id": "0", "name": "a.png", "width": "200", "height": "100"}
    (task,) = json.loads((tmp_path / "labelstudio/tasks.json").read_text("utf-8"))
    assert task["data"] == {"image": "/data/local-files/?d=labelstudio/images/a.png"}
    value = task["annotations"][0]["result"][0]["value"]
    assert [value[key] for key in ("x", "y", "width", "height")] == pytest.approx([5.125, 20.5, 15.25, 39.625])
    config = ElementTree.parse(tmp_path / "labelstudio/labeling_config.xml").getroot()
    assert [label.get("value") for label in config.findall("RectangleLabels/Label")] == NAMES
    rois = roiread(tmp_path / "imagej/rois/a.zip")
    assert [(roi.name, roi.roitype) for roi in rois] == [("vesicle-0001", ROI_TYPE.RECT), (f"{NAMES[1]}-0002", ROI_TYPE.RECT)]
    assert (rois[0].left, rois[0].top, rois[0].right, rois[0].bottom) == (10, 20, 41, 60)  # what old versions of ImageJ see


PREDICTION = {
    "detections.csv": "image,x1,y1,x2,y2,score,class\ngrid 1/a.tif,10.25,20.5,40.75,60.12,0.9123,vesicle\ngrid 1/a.tif,100,3.3,133.3,44.4,0.4,vesicle\n",
    "images.csv": "image,width,height,count,error\ngrid 1/a.tif,200,100,2,\ngrid 2/a.tif,200,100,0,\nbad.tif,,,,damaged\n",
}


def prediction(root: Path) -> Path:
    for name, text in PREDICTION.items():
        root.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, "utf-8")
    return root


@pytest.mark.parametrize("format", FORMATS)
def test_a_prediction_goes_into_a_tool_and_comes_back(tmp_path: Path, format: str, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("grid 1/a.tif", "grid 2/a.tif"):
        picture(tmp_path / "EV grids (donor 2)" / name)
    source, out = prediction(tmp_path / "outputs/predict/x"), tmp_path / f"to correct, {format}"
    assert main([f"source={source}", f"format={format}", f"out={out}", f"images={tmp_path}/EV grids (donor 2)", "pictures=png"]) == 0
    assert f"2 pictures with 2 objects (vesicle) are in {out}, as {format}" in capsys.readouterr().out
    assert sorted(path.name for path in (out / "images").rglob("*.png")) == ["a.png", "a.png"]
    found = as_read(out, format)
    full = next(image for image in found.images if "grid 1" in image.name)
    np.testing.assert_allclose(full.boxes, [[10.25, 20.5, 40.75, 60.12], [100, 3.3, 133.3, 44.4]], atol=0.01)
    assert found.class_names == ["vesicle"]
    # Corrected on PNG copies, it trains on the microscope's own files.
    own = read_folder(out, images=tmp_path / "EV grids (donor 2)") if format != "yolo" else None
    assert own is None or all(image.read().pixel_size_nm == pytest.approx(1.25, abs=1e-3) for image in own.images)
    if format == "coco":
        assert [image.pixel_size_nm for image in found.images] == pytest.approx([1.25, 1.25], abs=1e-3)


def test_scores_are_kept_where_there_is_a_place_for_them(tmp_path: Path) -> None:
    source = prediction(tmp_path / "predicted")
    found, scores = read_scored(source)
    assert [score.tolist() for score in scores] == [pytest.approx([0.9123, 0.4]), []]
    assert [image.name for image in found.images] == ["grid 1/a.tif", "grid 2/a.tif"]
    for format in ("coco", "labelstudio", "yolo"):
        assert main([f"source={source}", f"format={format}", f"out={tmp_path / format}"]) == 0
    coco = json.loads((tmp_path / "coco/annotations.json").read_text("utf-8"))
    assert [entry["score"] for entry in coco["annotations"]] == [0.9123, 0.4]
    first, second = json.loads((tmp_path / "labelstudio/tasks.json").read_text("utf-8"))
    assert first["annotations"] == []
    assert [(each["score"], len(each["result"])) for each in first["predictions"] + second["predictions"]] == [(pytest.approx(0.65615, abs=1e-4), 2), (0.0, 0)]
    assert len((tmp_path / "yolo/labels/grid 1/a.txt").read_text().splitlines()[0].split()) == 5  # tools refuse a sixth number
    (source / "detections.coco.json").write_text(json.dumps({**coco, "images": coco["images"], "categories": [{"id": 1, "name": "cup"}]}))
    assert read_scored(source / "detections.coco.json")[0].class_names == ["cup"]


def test_pictures_are_copied_as_they_are_or_not_at_all(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    source = write(tmp_path / "set", [image_of(tmp_path / "a.png", tmp_path, BOXES)], "voc")
    assert main([f"source={source}", "format=yolo", f"out={tmp_path}/1"]) == 0
    assert (tmp_path / "1/images/a.png").read_bytes() == (source / "images/a.png").read_bytes()
    assert main([f"source={source}", "format=yolo", f"out={tmp_path}/2", "pictures=none"]) == 0
    assert not (tmp_path / "2/images").exists()
    assert "note" not in capsys.readouterr().out
    assert main([f"source={prediction(tmp_path / 'p')}", "format=yolo", f"out={tmp_path}/3"]) == 0
    assert "2 pictures were not looked for or not found, so they are not in" in capsys.readouterr().out


def test_pictures_alone_to_be_drawn_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """16 bit with nm per pixel, which no browser shows, becomes 8-bit PNG of the same size; a table of any kind in the folder is not looked at."""
    source = tmp_path / "EV grids (donor 2)"
    for name in ("grid 1/a.tif", "grid 2/b.tif"):
        picture(source / name)
    (source / "samples.csv").write_text("a,b\n1,2\n")
    assert main([f"source={source}", "format=pictures", "pictures=png", f"out={tmp_path}/png"]) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"2 pictures are in {tmp_path}/png/images\nnote: these copies know no nm per pixel")
    assert sorted(path.relative_to(tmp_path / "png").as_posix() for path in (tmp_path / "png").rglob("*.*")) == ["images/grid 1/a.png", "images/grid 2/b.png"]
    with Image.open(tmp_path / "png/images/grid 1/a.png") as copy:
        assert (copy.size, copy.mode) == ((200, 100), "L")
    assert main([f"source={source}/grid 1/a.tif", "format=pictures", f"out={tmp_path}/one"]) == 0
    assert capsys.readouterr().out == f"1 pictures are in {tmp_path}/one/images\n"
    assert (tmp_path / "one/images/a.tif").read_bytes() == (source / "grid 1/a.tif").read_bytes()


def test_what_a_format_has_no_place_for_is_said(tmp_path: Path) -> None:
    outlines = tuple(star(box) for box in BOXES)
    source = write(tmp_path / "set", [image_of(tmp_path / "a.png", tmp_path, BOXES, outlines)], "coco")
    content = json.loads((source / "annotations.json").read_text("utf-8"))
    content["images"][0]["pixel_size_nm"] = 1.5
    content["annotations"][0]["iscrowd"] = 1
    (source / "annotations.json").write_text(json.dumps(content))
    ignored = "1 regions that count neither way are left out"
    for format, notes in {"coco": [], "voc": ["outlines are left", "nm per pixel"], "cvat": [ignored, "nm per pixel"]}.items():
        said = convert(read_command([f"source={source}", f"format={format}", f"out={tmp_path / format}"])).said.splitlines()
        assert [line.split(": ")[1][: len(note)] for line, note in zip(said[1:], notes, strict=True)] == notes
    assert read_folder(tmp_path / "voc").images[0].ignore.tolist() == [True, False, False, False]
    assert read_folder(tmp_path / "coco").images[0].ignore.tolist() == [True, False, False, False]
    assert len(read_folder(tmp_path / "cvat").images[0].boxes) == 3
    convert(read_command([f"source={source}", "format=cvat", f"out={tmp_path / 'plain'}", "outlines=false"]))
    assert "polygon" not in (tmp_path / "plain/annotations.xml").read_text("utf-8")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["source={root}", "format=yolo"], "out= is missing"),
        (["sorce={root}", "format=yolo", "out={out}"], "sorce={root}: wanted source= and a value"),
        (["source={root}", "format=", "out={out}"], "format=: wanted format= and a value"),
        (["source={root}", "format=pdf", "out={out}"], "format=pdf: wanted one of coco, cvat, imagej, labelstudio, voc, yolo, pictures"),
        (["source={root}/annotations", "format=pictures", "out={out}"], "no pictures (.bmp"),
        (["source={root}/annotations/a.xml", "format=pictures", "out={out}"], "not a"),
        (["source={root}", "format=yolo", "out={out}", "source_format=pdf"], "source_format=pdf: wanted one of cbia, coco"),
        (["source={root}", "format=yolo", "out={out}", "pictures=all"], "pictures=all: wanted one of copy, png, none"),
        (["source={root}", "format=yolo", "out={root}"], "already holds files"),
        (["source={root}", "format=yolo", "out={root}/new"], "lies within the source"),
        (["source={root}/nowhere", "format=yolo", "out={out}"], "no such file or folder"),
        (["source={root}", "format=yolo", "out={out}", "source_format=via"], "no VIA annotation"),
        (["source={root}", "format=yolo", "out={out}", "source_format=prediction"], "no prediction of exolight"),
    ],
)
def test_mistakes_are_one_line(tmp_path: Path, arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    places = {"root": write(tmp_path / "set", [image_of(tmp_path / "a.png", tmp_path, BOXES)], "voc"), "out": tmp_path / "out"}
    assert main([argument.format(**places) for argument in arguments]) == 2
    printed = capsys.readouterr()
    assert message.format(**places) in printed.err
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_pictures_whose_annotations_would_have_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("images/a.png", "A.bmp"):
        picture(tmp_path / "set" / name)
    (tmp_path / "set/labels.csv").write_text("vesicle,10,20,30,40,a.png,200,100\n")
    with pytest.raises(InputError, match="another picture has this name but for folder, suffix or case"):
        convert(read_command([f"source={tmp_path / 'set'}", "format=voc", f"out={tmp_path / 'out'}"]))


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    assert "out=             a new folder" in capsys.readouterr().out
    assert main([]) == 2


def test_as_a_program(tmp_path: Path) -> None:
    import subprocess

    source = write(tmp_path / "set (1), 2", [image_of(tmp_path / "a.png", tmp_path, BOXES)], "voc")
    arguments = [f"source={source}", "format=cvat", f"out={tmp_path}/Proença ${{x}}"]
    done = subprocess.run([sys.executable, "-m", "exolight.data.convert", *arguments], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, f"{source}: 1 pictures, read as voc\n")
    assert len(read_folder(tmp_path / "Proença ${x}").images[0].boxes) == 4


def test_a_damaged_picture_is_told_at_the_end_and_the_others_are_done(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "grid").mkdir()
    for name in "abc":
        Image.fromarray(np.random.default_rng(0).integers(0, 255, (60, 80), np.uint8)).save(tmp_path / "grid" / f"{name}.png")
    damaged = tmp_path / "grid" / "b.png"
    damaged.write_bytes(damaged.read_bytes()[:900])
    assert main([f"source={tmp_path}/grid", "format=pictures", "pictures=png", f"out={tmp_path}/out"]) == 1
    out, err = capsys.readouterr()
    assert out.startswith("2 pictures are in ")
    assert err.startswith(f"failed: {damaged}: the picture is cut short; copy it again")
    assert err.count("\n") == 1
    assert sorted(path.name for path in (tmp_path / "out" / "images").iterdir()) == ["a.png", "c.png"]

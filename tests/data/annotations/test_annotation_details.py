"""What single formats have of their own: turned shapes, masks, classes, several annotators, names that say little, and shapes that reach beyond the picture."""

import base64
import io
import json
import logging
from pathlib import Path
from typing import Any

import annotation_samples as samples
import numpy as np
import pytest
from PIL import Image

from exolight.data.annotations import read_folder
from exolight.data.annotations.detect import detect_format, read_annotations
from exolight.data.annotations.shapes import ellipse, polygon, rectangle, stencil
from exolight.errors import InputError
from exolight.simulation.files import write_files
from exolight.simulation.ranges import Ranges


def read(root: Path, **files: str | bytes) -> Any:
    """a.png of a data set with these files (named with __ for the dot)."""
    samples.write(root, samples.Sample({name.replace("__", "."): content for name, content in files.items()}, [], [], []))
    return next(image for image in read_folder(root).images if image.name == "a.png")


def test_shapes_by_hand() -> None:
    assert rectangle("", "a", (1, 2, 3, 5)).box == (1, 2, 3, 5)
    assert rectangle("", "a", (1, 2, 3, 5)).outline is None
    turned = rectangle("", "a", (10, 10, 30, 20), 90)  # about its centre (20, 15)
    assert turned.box == pytest.approx((15, 5, 25, 25))
    turned = rectangle("", "a", (10, 10, 30, 20), 90, about=(10, 10))  # clockwise: what was right is below
    assert turned.box == pytest.approx((0, 10, 10, 30))
    np.testing.assert_allclose(turned.outline, [[10, 10], [10, 30], [0, 30], [0, 10]], atol=1e-9)
    assert ellipse("", "a", (50, 40), (20, 10)).box == (30, 30, 70, 50)
    assert ellipse("", "a", (50, 40), (20, 10), 90).box == pytest.approx((40, 20, 60, 60))
    tilted = ellipse("", "a", (0, 0), (20, 10), 45)  # half the width: sqrt((400 + 100) / 2)
    assert tilted.box == pytest.approx((-(250**0.5), -(250**0.5), 250**0.5, 250**0.5))
    assert tilted.outline is not None
    np.testing.assert_allclose(tilted.outline[0], [20 * 0.5**0.5, 20 * 0.5**0.5])  # its long axis points right and down
    with pytest.raises(ValueError, match="2 points"):
        polygon("", "a", [[0, 0], [1, 1]])
    pixels = np.zeros((5, 6), bool)
    pixels[1:3, 2:5] = True
    assert stencil("", "a", pixels, (100, 200)).box == (102, 201, 105, 203)


def test_a_circle_that_reaches_beyond_the_picture_is_cut(tmp_path: Path) -> None:
    region = {"shape_attributes": {"name": "circle", "cx": -5, "cy": 50, "r": 10}, "region_attributes": {}}
    image = read(tmp_path, via__json=json.dumps(samples.via([region])))
    half = 75**0.5  # where the circle crosses the border
    np.testing.assert_allclose(image.boxes, [[0, 50 - half, 5, 50 + half]], atol=0.05)
    assert (image.outlines[0] >= 0).all()


def test_cvat_turned_boxes_and_a_project_of_parts(tmp_path: Path) -> None:
    box = 'xtl="90" ytl="45" xbr="110" ybr="55"'
    text = samples.CVAT.replace('xtl="10.00" ytl="20.00" xbr="40.50" ybr="60.25"', f'{box} rotation="90.00"').replace('name="a.png"', 'name="train/a.png"')
    image = read(tmp_path, annotations__xml=text)
    np.testing.assert_allclose(image.boxes[0], [95, 40, 105, 60])
    assert image.outlines is not None  # every shape has one now
    np.testing.assert_allclose(image.outlines[3].min(axis=0), [60, 70])


def test_label_studio_turns_about_the_corner_and_needs_no_size(tmp_path: Path) -> None:
    result = samples.label_studio_result("rectangle", {"x": 50, "y": 20, "width": 10, "height": 10, "rotation": 90}, "vesicle", 1)
    result = {key: value for key, value in result.items() if not key.startswith("original")}
    image = read(tmp_path, tasks__json=json.dumps([samples.label_studio_task(1, "a.png", [result])]))
    np.testing.assert_allclose(image.boxes, [[90, 20, 100, 40]], atol=1e-4)  # 20 x 10 px at (100, 20), turned


def test_label_studio_rectangle_and_labels_are_one_object(tmp_path: Path) -> None:
    plain = {**samples.label_studio_result("x", samples.RECTANGLE, "x", 1), "type": "rectangle", "value": samples.RECTANGLE}
    named = {**plain, "type": "labels", "value": {**samples.RECTANGLE, "labels": ["cup"]}}
    rated = {**plain, "type": "choices", "value": {**samples.RECTANGLE, "choices": ["good"]}}
    for results in ([plain, named, rated], [plain, rated, named]):
        root = samples.write(tmp_path, samples.Sample({"tasks.json": json.dumps([samples.label_studio_task(1, "a.png", results)])}, [], [], []))
        (image,), names = read_folder(root)
        assert names == ["cup"]
        np.testing.assert_allclose(image.boxes, [[10, 20, 40, 60]], atol=1e-4)


def test_label_studio_annotators_and_predictions(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = samples.label_studio_task(1, "a.png", samples.SHAPES)
    (annotation,) = task["annotations"]
    other = {**annotation, "result": samples.SHAPES[:1]}
    counts = {}
    for name, annotations in {"skipped": [annotation, {**other, "was_cancelled": True}], "truth": [annotation, {**other, "ground_truth": True}]}.items():
        counts[name] = len(read(tmp_path, tasks__json=json.dumps([{**task, "annotations": annotations}])).boxes)
    assert counts == {"skipped": 3, "truth": 1}
    with pytest.raises(InputError, match="task 1: 2 annotations of one picture; mark one of them as ground truth"):
        read(tmp_path, tasks__json=json.dumps([{**task, "annotations": [annotation, other]}]))
    predictions = [{"model_version": "one", "score": 0.5, "result": samples.SHAPES[:2]}]
    image = read(tmp_path, tasks__json=json.dumps([{**task, "annotations": [], "predictions": predictions}]))
    assert len(image.boxes) == 2
    assert "1 pictures count by predictions that nobody has corrected" in caplog.text
    with pytest.raises(InputError, match="nobody has annotated it, and there are 2 predictions"):
        read(tmp_path, tasks__json=json.dumps([{**task, "annotations": [], "predictions": predictions * 2}]))


def test_via_classes(tmp_path: Path) -> None:
    shape = {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}

    def names(*attributes: Any) -> list[str]:
        regions = [{"shape_attributes": shape, "region_attributes": one} for one in attributes]
        samples.write(tmp_path, samples.Sample({"via.json": json.dumps(samples.via(regions))}, [], [], []))
        return read_folder(tmp_path).class_names

    assert names({}, None) == ["object"]
    assert names({"kind": "cup"}, {"kind": "solid"}) == ["cup", "solid"]
    assert names({"Type": "cup", "quality": "good"}, {"Type": " ", "quality": "bad"}) == ["cup", "object"]
    assert names({"type": {"cup": True, "solid": False}}) == ["cup"]
    with pytest.raises(InputError, match=r"the regions have the attributes \['kind', 'quality'\]; call the one that names the class 'class'"):
        names({"kind": "cup", "quality": "good"})


def test_via_names_with_commas_and_version_1_header(tmp_path: Path) -> None:
    samples.picture(tmp_path / "exo, 2.png")
    (tmp_path / "via.csv").write_text("#" + samples.VIA_CSV.replace("a.png,", "exo, 2.png,").split("b.png")[0])
    (image,) = read_folder(tmp_path).images
    assert image.name == "exo, 2.png"
    np.testing.assert_allclose(image.boxes, samples.VIA_BOXES)


def test_makesense_with_a_header_and_commas_in_names(tmp_path: Path) -> None:
    samples.picture(tmp_path / "exo, 2.png")
    header = "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
    (tmp_path / "labels.csv").write_text(header + "vesicle,10,20,30,40,exo, 2.png,200,100\n")
    (image,), names = read_folder(tmp_path)
    assert (image.name, names, image.boxes.tolist()) == ("exo, 2.png", ["vesicle"], [[10, 20, 40, 60]])


def test_labelme_masks(tmp_path: Path) -> None:
    pixels = np.zeros((4, 6), np.uint8)
    pixels[1:3, 1:6] = 255
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")

    def content(points: list[list[float]]) -> str:
        shape = {"label": "cup", "points": points, "shape_type": "mask", "mask": base64.b64encode(file.getvalue()).decode()}
        return json.dumps({**samples.LABELME, "shapes": [shape]})

    image = read(tmp_path, a__json=content([[20, 30], [25, 33]]))  # first and last pixel
    assert image.boxes.tolist() == [[21, 31, 26, 33]]
    np.testing.assert_array_equal(image.outlines[0].max(axis=0), [26, 33])
    with pytest.raises(InputError, match=r"shapes\[0\]: mask is 6 x 4 px, its points 6 x 5"):
        read(tmp_path, a__json=content([[20, 30], [25, 34]]))


def test_voc_by_roboflow_and_by_the_name_of_the_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    ring = "<polygon><x1>10</x1><y1>20</y1><x2>40</x2><y2>20</y2><x3>25</x3><y3>60</y3></polygon>"
    text = samples.LABELIMG.replace("</bndbox>", f"</bndbox>{ring}").replace("<filename>a.png", "<filename>before it was renamed.png")
    image = read(tmp_path, a__xml=text)
    assert image.ignore.tolist() == [False, True]  # difficult
    np.testing.assert_array_equal(image.outlines[0], [[10, 20], [40, 20], [25, 60]])
    assert "1 of 2 pictures have no annotation and count as pictures without objects, first b.png" in caplog.text


def test_makesense_polygons_say_nothing_of_other_pictures(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Its VGG JSON closes polygons with their first point; its COCO has pictures with polygons only."""
    ring = {"name": "polygon", "all_points_x": [10.2, 40, 25, 10.2], "all_points_y": [20, 20, 60.7, 20]}
    regions = {"0": {"shape_attributes": ring, "region_attributes": {"label": "vesicle"}}}
    vgg = {"a.png": {"fileref": "", "size": 123, "filename": "a.png", "base64_img_data": "", "file_attributes": {}, "regions": regions}}
    annotation = {"id": 0, "iscrowd": 0, "image_id": 1, "category_id": 1, "segmentation": [[10.2, 20, 40, 20, 25, 60.7]], "bbox": [10.2, 20, 29.8, 40.7]}
    images = [{"id": 1, "width": 200, "height": 100, "file_name": "a.png"}]
    coco = {"info": {"description": "grid-3"}, "images": images, "annotations": [annotation], "categories": [{"id": 1, "name": "vesicle"}]}
    for name, content in (("vgg", vgg), ("coco", coco)):
        caplog.clear()
        samples.write(tmp_path / name, samples.Sample({"labels_grid-3_2026-01-31-12-00-00.json": json.dumps(content)}, [], [], []))
        (image,), names = read_folder(tmp_path / name)
        assert (image.name, names) == ("a.png", ["vesicle"])
        np.testing.assert_allclose(image.boxes, [[10.2, 20, 40, 60.7]], atol=1e-5)
        assert "1 of 2 pictures are not in the annotation and are left out, first b.png" in caplog.text


def test_a_file_in_annotations_belongs_to_the_images_beside_it(tmp_path: Path) -> None:
    for name, file in (("voc", "annotations/a.xml"), ("imagej-single", "rois/a.roi"), ("labelme", "annotations/a.json")):
        (content,) = samples.SAMPLES[name].files.values()
        root = samples.write(tmp_path / name, samples.Sample({file: content}, [], [], []), ("images/a.png", "images/b.png"))
        assert [image.name for image in read_folder(root / file).images] == ["images/a.png"]
        assert [image.name for image in read_folder(root / Path(file).parent).images] == ["images/a.png", "images/b.png"]


def test_imagej_pieces_names_and_fractions(tmp_path: Path) -> None:
    from roifile import ROI_OPTIONS, ROI_TYPE, ImagejRoi

    fine = ImagejRoi(roitype=ROI_TYPE.RECT, options=ROI_OPTIONS.SUB_PIXEL_RESOLUTION, name="CD63")
    fine.left, fine.top, fine.right, fine.bottom, fine.xd, fine.yd, fine.widthd, fine.heightd = 10, 20, 30, 40, 10.25, 20.5, 19.5, 19.0
    path = [0, 50, 10, 1, 60, 10, 1, 60, 20, 1, 50, 20, 4, 0, 70, 30, 1, 74, 30, 1, 74, 34, 4]
    two = ImagejRoi(roitype=ROI_TYPE.RECT, shape_roi_size=len(path), multi_coordinates=np.array(path, np.float32), name="0015-0062")
    drawn = ImagejRoi.frompoints(np.array([[100.25, 50.5], [120, 50], [110, 70.75]], np.float32), name="cup_12")
    files = {"1.roi": fine.tobytes(), "2.roi": two.tobytes(), "3.roi": drawn.tobytes(), "4.roi": samples.roi(10, (1, 1, 1, 1), "p", [(0, 0)])}
    samples.write(tmp_path, samples.Sample({"sub/RoiSet.zip": samples.roi_set(files)}, [], [], []), ("sub/a.png",))
    (image,), names = read_folder(tmp_path)
    assert names == ["CD63", "cup", "object"]
    np.testing.assert_allclose(image.boxes, [[10.25, 20.5, 29.75, 39.5], [50, 10, 74, 34], [100.25, 50, 120, 70.75]])
    samples.picture(tmp_path / "sub" / "b.png")
    with pytest.raises(InputError, match=r"RoiSet\.zip: there is no picture RoiSet in .*; call it like its picture"):
        read_folder(tmp_path)


def test_imagej_without_roifile(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples.write(tmp_path, "imagej")
    monkeypatch.setitem(__import__("sys").modules, "roifile", None)
    with pytest.raises(InputError, match=r'need roifile; install the extra "microscopy": pip install'):
        read_folder(tmp_path)


def test_a_region_that_unpacks_into_too_much_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is larger than 16 MiB"):
        read(tmp_path, a__zip=samples.roi_set({"x.roi": b"Iout" + bytes(1 << 25)}))


def test_entities_are_not_expanded(tmp_path: Path) -> None:
    entities = "".join(f'<!ENTITY {b} "{f"&{a};" * 10}">' for a, b in zip("abcdefgh", "bcdefghi", strict=True))
    bomb = f'<!DOCTYPE a [<!ENTITY a "aaaaaaaaaa">{entities}]>'
    with pytest.raises(InputError, match=r"a\.xml: no XML that can be read"):
        read(tmp_path, a__xml=bomb + samples.LABELIMG.replace("vesicle", "&i;"))


def test_predictions_of_an_interrupted_run_and_with_pictures(tmp_path: Path) -> None:
    root = samples.write(tmp_path / "predicted", "prediction", ())
    (root / "detections.csv").write_text(samples.DETECTIONS + "b.png,1.0,1.0,5.0,5.0,0.5,cup,4.0,,False\nz.png,1.0,1.0,5.0,5.0,0.5,cup,4.0,,False\nz.png,1.0,")
    first, second = read_folder(root).images
    assert (first.name, len(first.boxes), second.name, len(second.boxes)) == ("a.png", 1, "b.png", 1)
    with pytest.raises(InputError, match="no such file"):
        first.read()
    for name in ("a.png", "b.png"):
        samples.picture(tmp_path / "pictures" / name)
    assert read_folder(root / "images.csv", images=tmp_path / "pictures").images[0].read().pixels.shape == samples.HW
    samples.picture(tmp_path / "pictures" / "a.png", (50, 50))
    with pytest.raises(InputError, match=r"a\.png is 200 x 100 px here, the file 50 x 50"):
        read_folder(root, images=tmp_path / "pictures")


def test_pictures_that_were_not_analysable_are_not_known_to_be_empty(tmp_path: Path) -> None:
    root = samples.write(tmp_path, "prediction", ())
    (root / "images.csv").write_text(samples.IMAGES.replace("b.png,200,100,0,", "b.png,200,100,,"))
    assert [image.name for image in read_folder(root).images] == ["a.png"]


def test_overlays_of_a_prediction_are_no_pictures_of_a_data_set(tmp_path: Path) -> None:
    root = samples.write(tmp_path, "voc")
    samples.write(root / "predicted", "prediction", ("overlays/a.png", "overlays/c.png"))
    assert [image.name for image in read_folder(root).images] == ["a.png", "b.png"]


def test_namesakes_are_told_apart_by_their_folders(tmp_path: Path) -> None:
    for part in ("train", "valid"):
        samples.write(tmp_path / part, "labelstudio-min" if part == "train" else "coco")
    content = {**samples.COCO, "images": [{**image, "file_name": f"valid/{image['file_name']}"} for image in samples.COCO["images"]]}
    (tmp_path / "all.json").write_text(json.dumps(content))
    assert [image.name for image in read_folder(tmp_path / "all.json").images] == ["valid/a.png", "valid/b.png"]
    (tmp_path / "all.json").write_text(json.dumps(samples.COCO))
    with pytest.raises(InputError, match=r"a\.png may be train/a\.png or valid/a\.png; rename one of them"):
        read_folder(tmp_path / "all.json")


def test_several_data_sets_are_merged_by_class_name(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    samples.write(tmp_path / "day 1", "voc")
    samples.write(tmp_path / "day 2", "coco")
    samples.write(tmp_path / "day 3", "yolo", samples.SAMPLES["yolo"].names)
    (tmp_path / "day 2" / "_annotations.coco.json").write_text(json.dumps(samples.COCO).replace("exosome", "Vesicle"))
    images, names = read_folder(tmp_path)
    assert names == ["cup", "vesicle", "Vesicle"]
    labels = {image.name: image.labels.tolist() for image in images if len(image.boxes)}
    assert labels == {"day 1/a.png": [1, 0], "day 2/a.png": [2], "day 3/train/images/a_png.rf.0a1b2c.png": [1, 0]}
    assert "the classes 'vesicle' and 'Vesicle' are two; write them alike if one is meant" in caplog.text


def test_an_export_that_is_still_packed_is_told(tmp_path: Path) -> None:
    (tmp_path / "labels_grid-3_2026-01-31-12-00-00.zip").write_bytes(samples.roi_set({"a.xml": samples.LABELIMG.encode()}))
    samples.picture(tmp_path / "a.png")
    for named in (tmp_path, tmp_path / "labels_grid-3_2026-01-31-12-00-00.zip"):
        with pytest.raises(InputError, match=r"labels_grid-3_2026-01-31-12-00-00\.zip: packed, and no regions of ImageJ; unpack it"):
            read_folder(named)
    (tmp_path / "a.xml").write_text(samples.LABELIMG)
    assert len(read_folder(tmp_path).images[0].boxes) == 2


def test_lists_of_names_are_no_labels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = samples.write(tmp_path, "voc")
    for name in ("train.txt", "val.txt", "classes.txt", "README.txt"):
        (root / name).write_text("a.png\n")
    assert len(read_folder(root).images[0].boxes) == 2
    assert "it may be read as" not in caplog.text


def test_format_is_insisted_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    root = samples.write(tmp_path, "coco")
    samples.write(tmp_path, "voc")
    assert len(read_folder(root).images[0].boxes) == 1
    assert "read as coco; it may be read as voc, too" in caplog.text
    assert len(read_folder(root, format="voc").images[0].boxes) == 2
    for settings, message in (({"format": "xml"}, "format=xml: unknown; wanted one of cbia, coco"), ({"format": "via"}, "there is no VIA annotation")):
        with pytest.raises(InputError, match=message):
            read_folder(root, **settings)
    with pytest.raises(InputError, match="of the format yolo the pictures lie in"):
        read_folder(root, images="x", format="yolo")


def test_of_what_the_simulator_writes_the_annotation_that_knows_most_is_read(tmp_path: Path) -> None:
    """COCO beside the masks: it has the class's name, and regions to ignore."""
    write_files(tmp_path / "made", 3, 6, (160, 160), (2.0, 2.0), Ranges())
    found, kind = read_annotations(tmp_path / "made")
    assert kind == "coco"
    assert found.class_names == ["exosome"]
    (tmp_path / "made" / "annotations.json").unlink()
    assert detect_format(tmp_path / "made") == "masks"

"""Every format on one small data set, as the tools export it: what is read, how it is told, and that every mistake is named with file and place."""

from pathlib import Path

import annotation_samples as samples
import numpy as np
import pytest

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import READERS, read_folder
from exolight.data.annotations.detect import detect_format, read_annotations
from exolight.errors import InputError

ALL = list(samples.SAMPLES)
OF_PICTURES = [name for name in ALL if name != "prediction"]  # formats that look for the pictures themselves


def written(root: Path, name: str, pictures: tuple[str, ...] | None = None) -> Path:
    return samples.write(root, name, pictures or samples.SAMPLES[name].names)


def check(found: AnnotationSet, name: str) -> None:
    sample = samples.SAMPLES[name]
    assert found.class_names == sample.class_names
    first, second = found.images
    assert (first.name, second.name) == sample.names
    np.testing.assert_allclose(first.boxes, sample.boxes, atol=1e-4)
    assert first.labels.tolist() == sample.labels
    assert first.image_hw == second.image_hw == samples.HW
    assert second.boxes.shape == (0, 4)
    assert (None if first.outlines is None else [len(outline) for outline in first.outlines]) == sample.outlines


@pytest.mark.parametrize("name", ALL)
def test_what_the_tools_export_is_read_and_told_by_its_content(tmp_path: Path, name: str) -> None:
    root = written(tmp_path / "Proença (1), grid 3", name)
    assert detect_format(root) == samples.kind(name)
    check(READERS[samples.kind(name)](root), name)
    check(read_folder(str(root)), name)
    check(read_folder(root, format=samples.kind(name)), name)
    found, kind = read_annotations(root)
    assert kind == samples.kind(name)
    check(found, name)


@pytest.mark.parametrize("name", [name for name in ALL if samples.kind(name) in ("coco", "cvat", "labelstudio", "via") and name != "coco-roboflow"])
def test_the_file_itself_may_be_named(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, name)
    (file,) = samples.SAMPLES[name].files
    assert detect_format(root / file) == samples.kind(name)
    check(read_folder(root / file), name)


@pytest.mark.parametrize("name", ["voc", "voc-makesense", "labelme", "imagej", "imagej-single"])
def test_a_named_file_of_one_picture_says_nothing_of_others(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, name)
    (file,) = samples.SAMPLES[name].files
    assert [image.name for image in read_folder(root / file).images] == ["a.png"]


@pytest.mark.parametrize("name", [name for name in OF_PICTURES if samples.kind(name) != "yolo"])
def test_pictures_elsewhere_and_in_another_format(tmp_path: Path, name: str) -> None:
    """Browsers show no 16-bit TIFF: the PNG that was annotated stands for the TIFF."""
    root = samples.write(tmp_path / "exported", name, ())
    for stem in "ab":
        samples.picture(tmp_path / "microscope" / f"{stem}.tif")
    found = read_folder(root, images="../microscope")
    assert sorted(Path(image.name).name for image in found.images) == ["a.tif", "b.tif"]
    assert all(image.read().pixels.shape == samples.HW for image in found.images)
    again, _ = read_annotations(root, tmp_path / "microscope")
    assert len(again.images) == 2


@pytest.mark.parametrize("name", [name for name in OF_PICTURES if samples.kind(name) not in ("yolo", "imagej")])
def test_a_missing_picture_is_named(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, name, ("b.png",))
    with pytest.raises(InputError) as error:
        read_folder(root)
    assert "a.png" in str(error.value)
    assert str(root / next(iter(samples.SAMPLES[name].files))) in str(error.value)


@pytest.mark.parametrize("name", ["voc", "cvat", "labelstudio", "labelstudio-min", "labelme", "makesense", "coco"])
def test_a_picture_of_another_size_is_refused(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, name)
    samples.picture(root / "a.png", (200, 100))
    with pytest.raises(InputError, match=r"a\.png is 200 x 100 px here, the file 100 x 200; use the pictures annotated") as error:
        read_folder(root)
    assert str(error.value).startswith(f"{root}/{next(iter(samples.SAMPLES[name].files))}")


@pytest.mark.parametrize("name", [name for name in OF_PICTURES if samples.kind(name) not in ("yolo", "coco")])
def test_a_picture_that_is_there_twice_is_refused(tmp_path: Path, name: str) -> None:
    root = written(tmp_path, name)
    (file,) = samples.SAMPLES[name].files
    twin = {"a.xml": "c.xml", "a.json": "c.json", "a.roi": "a ROI.roi", "a_RoiSet.zip": "a.zip"}.get(file, f"copy of {file}")
    (root / twin).write_bytes((root / file).read_bytes())
    with pytest.raises(InputError, match=r"a\.png is listed twice, before in .*; remove one of the two"):
        read_folder(root)


# Format, what is changed into what in its sample, and what the message says; the place first.
MISTAKES = [
    ("voc", "<xmin>10</xmin>", "<xmin>400</xmin>", "a.xml: object 1: a box without area (width -360"),
    ("voc", "<xmax>40</xmax>", "<xmax>10</xmax>", "a.xml: object 1: a box without area"),
    ("voc", "<xmax>40</xmax>", "<xmax>240</xmax>", "a.xml: object 1: box outside the picture"),
    ("voc", "<xmin>10</xmin>", "<xmin>nan</xmin>", "a.xml: object 1: <xmin> is 'nan', wanted a number"),
    ("voc", "<xmin>10</xmin>", "", "a.xml: object 1: <xmin> is None, wanted a number"),
    ("voc", "<name>vesicle</name>", "<name> </name>", "a.xml: object 1: an object without a <name>"),
    ("voc", samples.LABELIMG.split("</difficult>")[1].split("</object>")[0], "", "a.xml: object 1: an object without a <bndbox>"),
    ("voc", "</annotation>", "", "a.xml: no XML that can be read (no element found: line 39"),
    ("voc", "<annotation>", '<!DOCTYPE a [<!ENTITY x "y">]><annotation>', "a.xml: no XML that can be read (DTDForbidden"),
    ("cvat", 'xbr="40.50"', 'xbr="10.00"', "annotations.xml: image 'a.png', box 1: a box without area"),
    ("cvat", 'xbr="40.50"', 'xbr="inf"', "annotations.xml: image 'a.png', box 1: xbr is 'inf', wanted a number"),
    ("cvat", 'xbr="40.50"', "", "annotations.xml: image 'a.png', box 1: xbr is None, wanted a number"),
    ("cvat", 'xbr="40.50"', 'xbr="240.50"', "annotations.xml: image 'a.png', box 1: box outside the picture"),
    ("cvat", "100.00,10.00;120.00,10.00;", "", "annotations.xml: image 'a.png', polygon 2: a polygon of 1 points"),
    ("cvat", "100.00,10.00;120", "100.00;120", "annotations.xml: image 'a.png', polygon 2: points are"),
    ("cvat", 'rx="20.00"', 'rx="0"', "annotations.xml: image 'a.png', ellipse 3: an ellipse with radii of 0"),
    ("cvat", 'cx="150.00"', 'cx="350.00"', "annotations.xml: image 'a.png', ellipse 3: box outside the picture"),
    ("cvat", "1, 3, 1, 5", "1, 3, 1, 50", "annotations.xml: image 'a.png', mask 4: rle does not fill its window of 5 x 3 px"),
    ("cvat", 'rle="1, 3, 1, 5, 1, 3, 1"', 'rle="15"', "annotations.xml: image 'a.png', mask 4: a mask without a pixel"),
    ("cvat", 'box label="vesicle"', 'box label=""', "annotations.xml: image 'a.png', box 1: an object without a label"),
    ("cvat", "<image id=", '<track id="0"></track><image id=', "annotations.xml: the annotation of a video"),
    ("labelstudio", '"width": 15', '"width": 0', "0a1b2c3d.json: task 1, result 1: a box without area"),
    ("labelstudio", '"width": 15', '"width": NaN', "0a1b2c3d.json: task 1, result 1: width is nan, wanted a number"),
    ("labelstudio", '"width": 15', '"width": 100', "0a1b2c3d.json: task 1, result 1: box outside the picture"),
    ("labelstudio", '"width": 15', '"width": [1]', "0a1b2c3d.json: task 1, result 1: width is [1], wanted a number"),
    ("labelstudio", '[60, 10], [55, 30]', '[60, 10]', "0a1b2c3d.json: task 1, result 2: a polygon of 2 points"),
    ("labelstudio", '"image_rotation": 0', '"image_rotation": 90', "0a1b2c3d.json: task 1, result 1: the picture was turned"),
    ("labelstudio", '"rectanglelabels": ["vesicle"]', '"rectanglelabels": ["a", "b"]', "0a1b2c3d.json: task 1, result 1: labels are ['a', 'b'], wanted one"),
    ("labelstudio", '"original_width": 200', '"original_width": 400', "0a1b2c3d.json: task 1: its results name several sizes"),
    ("labelstudio", "4/0a1b2c3d-a.png", "4/0a1b2c3d-a.docx", "0a1b2c3d.json: task 1: data is {'image': '/data/upload/4/0a1b2c3d-a.docx'}, without the address"),
    ("via", '"width": 30', '"width": -30', "via_region_data.json: 'a.png12345': regions[0]: a box without area"),
    ("via", '"width": 30', '"width": null', "via_region_data.json: 'a.png12345': regions[0]: width is None, wanted a number"),
    ("via", '"width": 30', '"width": 300', "via_region_data.json: 'a.png12345': regions[0]: box outside the picture"),
    ("via", '"r": 12.5', '"r": 0', "via_region_data.json: 'a.png12345': regions[1]: an ellipse with radii of 0"),
    ("via", "[60, 80, 70]", "[60, 80]", "via_region_data.json: 'a.png12345': regions[3]: all_points_x and all_points_y are"),
    ("via", '"name": "rect"', '"name": "star"', "via_region_data.json: 'a.png12345': regions[0]: the shape 'star' is unknown"),
    ("via", '{"type": "vesicle"}', '{"type": {"cup": true, "vesicle": true}}', "'a.png12345': regions[0]: type is ['cup', 'vesicle'], wanted one class"),
    ("via-1", '"width": 30', '"width": 0', "via.json: 'a.png12345': regions[0]: a box without area"),
    ("via-csv", '""width"": 30', '""width"": 0', "via_region_data.csv:2: a box without area"),
    ("via-csv", '""width"": 30', '""width"": NaN', "via_region_data.csv:2: width is nan, wanted a number"),
    ("via-csv", '""cx"": 100', '""cx: 100', "via_region_data.csv:3: '"),
    ("via-csv", 'a.png,12345,"{}",5,0,', 'a.png,12345,', "via_region_data.csv:2: 4 columns, wanted 7"),
    ("labelme", "[10.0, 20.5]", "[40.0, 20.5]", "a.json: shapes[0]: a box without area"),
    ("labelme", "[10.0, 20.5]", "[10.0, NaN]", "a.json: shapes[0]: points is nan, wanted a number"),
    ("labelme", "[10.0, 20.5]", "[10.0, 120.5]", "a.json: shapes[0]: box outside the picture"),
    ("labelme", "[10.0, 20.5]", "10.0", "a.json: shapes[0]: points is [[40.0, 60.0], 10.0], wanted a list of points"),
    ("labelme", "[103.0, 54.0]", "[100.0, 50.0]", "a.json: shapes[1]: an ellipse with radii of 0"),
    ("labelme", '"circle"', '"star"', "a.json: shapes[1]: shape_type 'star' is unknown"),
    ("labelme", '"label": "vesicle"', '"label": null', "a.json: shapes[0]: label is None, wanted the name of a class"),
    ("labelme", '"rectangle"', '"mask"', "a.json: shapes[0]: mask is no PNG"),
    ("makesense", "cup,150,50,50,50", "cup,150,50,0,50", ".csv:2: a box without area"),
    ("makesense", "cup,150,50,50,50", "cup,150,50,50,nan", ".csv:2: bbox_height is 'nan', wanted a number"),
    ("makesense", "cup,150,50,50,50", "cup,150,50,60,50", ".csv:2: box outside the picture"),
    ("makesense", "cup,150,50,50,50", "cup,150,50,50", ".csv:2: 7 columns; wanted label_name,bbox_x"),
    ("makesense", "cup,150,50,50,50", ",150,50,50,50", ".csv:2: no name of a class"),
    ("makesense", "cup,150,50,50,50,a.png,200", "cup,150,50,50,50,a.png,300", ".csv:2: a.png is 300 x 100 px here and 200 x 100 px above"),
    ("coco", '"bbox": [10, 20, 30.5, 40]', '"bbox": [10, 20, 0, 40]', "_annotations.coco.json: annotations[0] (id 1): a box without area"),
    ("prediction", "10.0,20.0,40.5", "10.0,20.0,ten", "detections.csv:2: x2 is 'ten', wanted a number"),
    ("prediction", "image,x1", "picture,x1", "detections.csv: a table without the columns image"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "before", "after", "message"), MISTAKES)
def test_mistakes_are_named_with_file_and_place(tmp_path: Path, name: str, before: str, after: str, message: str) -> None:
    files = {file: content for file, content in samples.SAMPLES[name].files.items() if isinstance(content, str)}
    assert any(before in content for content in files.values())
    changed = samples.SAMPLES[name]._replace(files={file: content.replace(before, after, 1) for file, content in files.items()})
    samples.write(tmp_path, changed)
    with pytest.raises(InputError) as error:
        READERS[samples.kind(name)](tmp_path)
    assert message in str(error.value)
    assert str(error.value).startswith(str(tmp_path))
    assert "\n" not in str(error.value)
    assert ";" in str(error.value)


def test_a_region_of_imagej_that_cannot_be_right_is_named(tmp_path: Path) -> None:
    for data, message in (
        (samples.roi(1, (20, 10, 60, 400), "x"), "box outside the picture"),
        (samples.roi(1, (20, 10, 20, 40), "x"), "a box without area"),
        (samples.roi(2, (20, 10, 20, 40), "x"), "an ellipse with radii of 15 and 0"),
        (samples.roi(0, (5, 60, 25, 80), "x", [(0, 0), (20, 0)]), "a polygon of 2 points"),
        (samples.roi(1, (20, 10, 60, 40), "x", position=3), "later slice of a stack"),
        (samples.roi(7, (5, 60, 25, 80), "x", [(0, 0), (20, 0), (10, 20)])[:70], "draw the region again"),
    ):
        samples.write(tmp_path, samples.Sample({"a.zip": samples.roi_set({"x.roi": data})}, [], [], []))
        with pytest.raises(InputError) as error:
            read_folder(tmp_path)
        assert str(error.value).startswith(f"{tmp_path / 'a.zip'}: x.roi: ")
        assert message in str(error.value)

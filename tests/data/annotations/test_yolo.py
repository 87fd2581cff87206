"""YOLO text: hand-computed boxes on a picture that is not square, every layout, and every line that cannot be right."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from exolight.annotated_image import AnnotationSet
from exolight.data.annotations import read_yolo
from exolight.data.annotations.check import check_boxes
from exolight.errors import InputError

HW = (100, 200)
LINE = "0 0.5 0.25 0.1 0.2"  # centre (100, 25), 20 x 20 px
BOX = [90, 15, 110, 35]


def write(root: Path, picture: str, label: str | None = None, text: str = LINE) -> None:
    (root / picture).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(HW, np.uint8)).save(root / picture)
    if label is not None:
        (root / label).parent.mkdir(parents=True, exist_ok=True)
        (root / label).write_text(text, encoding="utf-8")


def boxes(found: AnnotationSet) -> dict[str, list[list[float]]]:
    return {image.name: image.boxes.round(4).tolist() for image in found.images}


def refused(root: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_yolo(root)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("picture", "label"),
    [
        ("images/Proença (1).png", "labels/Proença (1).txt"),
        ("images/train/12_µm.png", "labels/train/12_µm.txt"),
        ("train/images/a.png", "train/labels/a.txt"),
        ("exo, 2.png", "exo, 2.txt"),
        ("deep/a.b.png", "deep/a.b.txt"),
        ("a.png", "labels/a.txt"),
    ],
)
def test_layouts_without_yaml(tmp_path: Path, picture: str, label: str) -> None:
    write(tmp_path, picture, label)
    found = read_yolo(tmp_path)
    assert boxes(found) == {picture: [BOX]}
    assert found.class_names == ["object"]
    assert found.images[0].image_hw == HW
    assert found.images[0].read().pixels.shape == HW


def test_pictures_with_empty_or_without_label_file_have_no_objects(tmp_path: Path) -> None:
    write(tmp_path, "images/a.png", "labels/a.txt")
    write(tmp_path, "images/b.png", "labels/b.txt", "\n \n")
    write(tmp_path, "images/c.png")
    assert [len(image.boxes) for image in read_yolo(tmp_path).images] == [1, 0, 0]


def test_confidence_is_ignored_and_polygons_become_their_extent(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "a.txt", f"{LINE} 0.93\n1 0.1 0.2 0.3 0.2 0.2 0.6\n")
    write(tmp_path, "b.png", "b.txt", "\ufeff1 0.1 0.2 0.3 0.2 0.2 0.6")
    first, second = read_yolo(tmp_path).images
    np.testing.assert_allclose(first.boxes, [BOX, [20, 20, 60, 60]], atol=1e-4)
    assert first.labels.tolist() == [0, 1]
    assert first.outlines is None  # one of them has none
    assert second.outlines is not None
    np.testing.assert_allclose(second.outlines[0], [[20, 20], [60, 20], [40, 60]], atol=1e-4)


def test_names(tmp_path: Path) -> None:
    write(tmp_path, "images/a.png", "labels/a.txt", LINE.replace("0", "2", 1))
    assert read_yolo(tmp_path).class_names == ["0", "1", "2"]
    for folder in ("", "labels"):
        (tmp_path / folder / "classes.txt").write_text("cup\nsolid\nring\n")
        assert read_yolo(tmp_path).class_names == ["cup", "solid", "ring"]
        (tmp_path / folder / "classes.txt").unlink()
    for text in ("names: [cup, solid, ring]\nnc: 3\n", "names: {0: cup, 1: solid, 2: ring}\n"):
        (tmp_path / "data.yaml").write_text(text)
        assert read_yolo(tmp_path).class_names == ["cup", "solid", "ring"]
    (tmp_path / "data.yaml").write_text("nc: 3\n")
    assert read_yolo(tmp_path).class_names == ["0", "1", "2"]


def test_roboflow(tmp_path: Path) -> None:
    write(tmp_path, "train/images/a_jpg.rf.01ab.png", "train/labels/a_jpg.rf.01ab.txt")
    write(tmp_path, "train/images/a_jpg.rf.23cd.png", "train/labels/a_jpg.rf.23cd.txt")
    write(tmp_path, "valid/images/b_jpg.rf.45ef.png", "valid/labels/b_jpg.rf.45ef.txt", "")
    (tmp_path / "README.roboflow.txt").write_text("exported 2024")
    (tmp_path / "data.yaml").write_text("train: ../train/images\nval: ../valid/images\ntest: ../test/images\nnc: 1\nnames: ['exosome']\n")
    images, names = read_yolo(tmp_path)
    assert names == ["exosome"]
    assert [image.group for image in images] == ["a_jpg", "a_jpg", "b_jpg"]
    assert images[0].name == "train/images/a_jpg.rf.01ab.png"


def test_yaml_with_path_lists_and_text_files(tmp_path: Path) -> None:
    for name in "abcd":
        write(tmp_path, f"set/images/{name}/1.png", f"set/labels/{name}/1.txt")
    (tmp_path / "set" / "val.txt").write_text("./images/c/1.png\n\nimages/c/1.png\n")
    (tmp_path / "data.yaml").write_text("path: set\ntrain: [images/a, images/b]\nval: val.txt\nnames: [exosome]\n")
    assert list(boxes(read_yolo(tmp_path))) == [f"set/images/{name}/1.png" for name in "abc"]
    (tmp_path / "set" / "data.yaml").write_text("path: /content/elsewhere\ntrain: images\nnames: [exosome]\n")
    assert len(read_yolo(tmp_path / "set").images) == 4


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("names: [a, b]\nnc: 3", ("nc is 3", "2 names")),
        ("names: {1: a}", ("number them from 0",)),
        ("names: a: b", ("data.yaml", "correct it")),
        ("- a", ("data.yaml", "found list")),
        ("train: nowhere\nnames: [a]", ("data.yaml: train", "nowhere", "correct the path")),
        ("train: list.txt\nnames: [a]", ("list.txt:2", "gone.png")),
    ],
)
def test_wrong_yaml_is_refused(tmp_path: Path, text: str, parts: tuple[str, ...]) -> None:
    write(tmp_path, "images/a.png", "labels/a.txt")
    (tmp_path / "list.txt").write_text("images/a.png\ngone.png\n")
    (tmp_path / "data.yaml").write_text(text)
    refused(tmp_path, *parts)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("0 0.5 0.5 0.1", "4 numbers"),
        ("0 0.1 0.1 0.2 0.2 0.3 0.3 0.9", "8 numbers"),
        ("vesicle 0.5 0.5 0.1 0.1", "not all numbers"),
        ("0 0,5 0,5 0,1 0,1", "not all numbers"),
        ("0.5 0.5 0.5 0.1 0.1", "class 0.5"),
        ("-1 0.5 0.5 0.1 0.1", "class -1"),
        ("1 0.5 0.5 0.1 0.1", "class 1, but there are 1 class names"),
        ("0 0.5 0.5 nan 0.1", "no number"),
        ("0 0.5 inf 0.1 0.1", "no number"),
        ("0 0.5 0.5 0 0.1", "without area"),
        ("0 0.5 0.5 0.1 -0.1", "without area"),
        ("0 0.5 1.2 0.1 0.1", "outside the picture"),
        ("0 0.995 0.5 0.03 0.1", "outside the picture"),  # by 2 px
        ("0 100 25 20 20", "outside the picture"),
    ],
)
def test_wrong_lines_are_refused_with_file_and_line(tmp_path: Path, line: str, found: str) -> None:
    write(tmp_path, "images/µ 1.png", "labels/µ 1.txt", f"{LINE}\n{line}\n")
    (tmp_path / "classes.txt").write_text("exosome\n")
    refused(tmp_path, "µ 1.txt:2", found, ";")


def test_sticking_out_by_rounding_is_clipped(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "a.txt", "0 0.5 0.5 1.01 1.02")  # 1 px over on every side
    assert boxes(read_yolo(tmp_path)) == {"a.png": [[0, 0, 200, 100]]}


def test_rounding_grows_with_the_picture() -> None:
    hw = (1000, 2000)  # 0.5 %: 10 px in x, 5 px in y
    boxes_xyxy, problems = check_boxes([[-9, -4, 2009, 1004], [-11, 0, 5, 5], [0, 0, 5, 1006]], [0, 0, 0], hw, 1, ["a", "b", "c"])
    assert boxes_xyxy[0].tolist() == [0, 0, 2000, 1000]
    assert [problem[:28] for problem in problems] == ["b: box outside the picture (", "c: box outside the picture ("]


def test_small_boxes_are_kept(tmp_path: Path) -> None:
    write(tmp_path, "a.png", "a.txt", "0 0.5 0.5 0.001 0.001")
    assert len(read_yolo(tmp_path).images[0].boxes) == 1


def test_all_problems_are_gathered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a.png", "a.txt", "0 1\n" * 40)
    refused(tmp_path, "a.txt:1", "and 39 more")
    assert [record.getMessage().split(": ")[0][-8:] for record in caplog.records[:2]] == ["/a.txt:2", "/a.txt:3"]
    assert len(caplog.records) == 20


def test_missing_things_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder", "labels/")
    refused(tmp_path, "no pictures", ".png", "labels/")
    write(tmp_path, "images/a.png")
    refused(tmp_path, "not one of 1 pictures has a label file", "labels/a.txt")
    write(tmp_path, "images/a.png", "labels/a.txt")
    write(tmp_path, "images/b.png", "labels/gone.txt")
    refused(tmp_path, "gone.txt", "annotation of a picture that does not exist", "remove the file")
    (tmp_path / "labels" / "gone.txt").unlink()
    (tmp_path / "images" / "b.png").write_bytes(b"")
    refused(tmp_path, "b.png", "empty")

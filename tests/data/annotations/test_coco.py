"""COCO JSON: hand-computed boxes, Roboflow's parts and parent category, and every entry that cannot be right."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from exolight.data.annotations import read_coco
from exolight.errors import InputError

HW = (100, 200)


def coco(file_name: str = "a.png", annotations: list[dict[str, Any]] | None = None, **image: Any) -> dict[str, Any]:
    return {
        "images": [{"id": 17, "file_name": file_name, "width": 200, "height": 100, **image}],
        "annotations": [{"id": 1, "image_id": 17, "category_id": 5, "bbox": [10, 20, 30.5, 40]}] if annotations is None else annotations,
        "categories": [{"id": 9, "name": "cup"}, {"id": 5, "name": "exosome"}],
    }


def write(root: Path, content: dict[str, Any], picture: str | None = "a.png", name: str = "annotations.json") -> Path:
    (root / name).parent.mkdir(parents=True, exist_ok=True)
    (root / name).write_text(json.dumps(content), encoding="utf-8")
    if picture:
        (root / picture).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.zeros(HW, np.uint8)).save(root / picture)
    return root / name


def refused(root: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        read_coco(root)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize("place", ["", "images/"])
@pytest.mark.parametrize("name", ["Proença (1).png", "12_µm.png", "exo, 2.png"])
def test_boxes_by_hand_under_any_name(tmp_path: Path, name: str, place: str) -> None:
    file = write(tmp_path, coco(name), place + name)
    for found in (read_coco(tmp_path), read_coco(file), read_coco(str(tmp_path), annotations="annotations.json")):
        (image,) = found.images
        assert image.name == place + name
        np.testing.assert_array_equal(image.boxes, np.array([[10, 20, 40.5, 60]], np.float32))
        assert image.labels.tolist() == [0]
        assert found.class_names == ["exosome", "cup"]  # by id
        assert image.image_hw == HW
        assert image.read().pixels.shape == HW


def test_other_layouts(tmp_path: Path) -> None:
    write(tmp_path / "cvat", coco(), "images/a.png", "annotations/instances_default.json")
    assert [image.name for image in read_coco(tmp_path / "cvat").images] == ["images/a.png"]
    write(tmp_path / "own", coco("C:\\data\\a.png"), "pictures/a.png", "b.json")
    (tmp_path / "own" / "settings.json").write_text("{}")
    assert [image.name for image in read_coco(tmp_path / "own", images="pictures").images] == ["pictures/a.png"]


def test_polygons_crowds_pixel_size_and_pictures_without_objects(tmp_path: Path) -> None:
    triangle = [20, 20, 60, 20, 40, 60]
    content = coco(
        annotations=[
            {"id": 1, "image_id": 17, "category_id": 9, "segmentation": [[1, 1, 2, 1, 2, 2], triangle]},
            {"id": 2, "image_id": 17, "category_id": 5, "bbox": [0, 0, 200, 100], "iscrowd": 1, "segmentation": [triangle]},
        ],
        pixel_size_nm=1.25,
    )
    content["images"].append({"id": 18, "file_name": "b.png", "width": 200, "height": 100})
    write(tmp_path, content)
    write(tmp_path, content, "b.png")
    first, second = read_coco(tmp_path).images
    np.testing.assert_array_equal(first.boxes, [[1, 1, 60, 60], [0, 0, 200, 100]])
    assert first.ignore.tolist() == [False, True]
    assert first.labels.tolist() == [1, 0]
    assert first.outlines is not None
    np.testing.assert_array_equal(first.outlines[0], np.reshape(triangle, (3, 2)))
    assert (first.pixel_size_nm, second.pixel_size_nm) == (1.25, None)
    assert first.read().pixel_size_source == "user"
    assert second.boxes.shape == (0, 4)


def test_roboflow_parts_are_merged_and_the_parent_category_dropped(tmp_path: Path) -> None:
    for part, name in (("train", "a_jpg.rf.01"), ("valid", "a_jpg.rf.02"), ("test", "b_jpg.rf.03")):
        content = coco(f"{name}.png", [{"id": 0, "image_id": 17, "category_id": 1, "bbox": [0, 0, 5, 5], "segmentation": []}])
        content["categories"] = [{"id": 0, "name": "vesicles", "supercategory": "none"}, {"id": 1, "name": "exosome", "supercategory": "vesicles"}]
        write(tmp_path, content, f"{part}/{name}.png", f"{part}/_annotations.coco.json")
    images, names = read_coco(tmp_path)
    assert names == ["exosome"]
    assert {image.name: image.group for image in images} == {
        "test/b_jpg.rf.03.png": "b_jpg",
        "train/a_jpg.rf.01.png": "a_jpg",
        "valid/a_jpg.rf.02.png": "a_jpg",
    }
    assert all(image.labels.tolist() == [0] for image in images)


def test_a_used_first_category_stays(tmp_path: Path) -> None:
    content = coco()
    content["categories"] = [{"id": 0, "name": "vesicle"}, {"id": 5, "name": "cup", "supercategory": "vesicle"}]
    content["annotations"].append({"id": 2, "image_id": 17, "category_id": 0, "bbox": [1, 1, 5, 5]})
    write(tmp_path, content)
    assert read_coco(tmp_path).class_names == ["vesicle", "cup"]


@pytest.mark.parametrize(
    ("change", "found"),
    [
        ({"bbox": [10, 20, 0, 40]}, "without area"),
        ({"bbox": [10, 20, 30, -1]}, "without area"),
        ({"bbox": [10, 20, float("nan"), 4]}, "bbox is nan, wanted a number"),
        ({"bbox": [190, 20, 30, 40]}, "outside the picture"),
        ({"bbox": [500, 500, 30, 40]}, "outside the picture"),
        ({"bbox": [1, 2, 3]}, "wanted x, y, width, height"),
        ({"bbox": [1, 2, "three", 4]}, "three"),
        ({"bbox": None, "segmentation": {"size": [100, 200], "counts": "abc"}}, "a bbox is needed"),
        ({"image_id": 99}, "image_id 99"),
        ({"category_id": 99}, "category_id 99"),
    ],
)
def test_wrong_annotations_are_refused_with_file_and_key(tmp_path: Path, change: dict[str, Any], found: str) -> None:
    good = coco()["annotations"][0]
    write(tmp_path, coco(annotations=[good, {**good, "id": 44, **change}]))
    refused(tmp_path, "annotations.json: annotations[1] (id 44)", found, ";")


def test_sticking_out_by_rounding_is_clipped(tmp_path: Path) -> None:
    write(tmp_path, coco(annotations=[{"id": 1, "image_id": 17, "category_id": 5, "bbox": [-1, -1.5, 202, 102.5]}]))
    np.testing.assert_array_equal(read_coco(tmp_path).images[0].boxes, [[0, 0, 200, 100]])


def test_wrong_pictures_are_refused(tmp_path: Path) -> None:
    write(tmp_path, coco("µ 1.png"), None)
    refused(tmp_path, "images[0]", "µ 1.png", "add it")
    write(tmp_path, coco(width=100, height=200))
    refused(tmp_path, "a.png is 100 x 200 px", "200 x 100", "use the pictures annotated")
    for size, part in ((100, "0.05 to 20"), ("1,2", "wanted a number")):
        write(tmp_path, coco(pixel_size_nm=size))
        refused(tmp_path, "a.png", part)
    content = coco()
    write(tmp_path, {**content, "images": content["images"] * 2})
    refused(tmp_path, "images[0]", "twice", "and 1 more")
    write(tmp_path, coco("sub/a.png"))  # found by its last part, and again by the next entry
    content = coco("sub/a.png")
    write(tmp_path, {**content, "images": [*content["images"], {"id": 18, "file_name": "a.png"}]})
    refused(tmp_path, "listed twice")


def test_missing_and_broken_files_are_refused(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "no such folder", "_annotations.coco.json")
    refused(tmp_path, "no COCO annotation", "_annotations.coco.json")
    file = write(tmp_path, coco())
    write(tmp_path, coco(), name="second.json")
    refused(tmp_path, "2 COCO files", "second.json", "data.source.annotations")
    (tmp_path / "second.json").unlink()
    file.write_text('{"images": [')
    refused(tmp_path, "annotations.json", "export it again")
    file.write_text("[]")
    refused(file, "annotations.json", "export as COCO JSON")
    write(tmp_path, {"images": [], "annotations": [], "categories": [{"id": 1, "name": "a"}]})
    refused(tmp_path, "no pictures listed")

"""A small data set in every format, as the tools export it: a.png (200 x 100 px) with objects, b.png without."""

import io
import json
import struct
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

HW = (100, 200)


class Sample(NamedTuple):
    """Files by name; class names; boxes and labels of a.png; how many points its outlines have, or None; whether b.png is listed or found."""

    files: Mapping[str, str | bytes]
    class_names: Sequence[str]
    boxes: Sequence[Sequence[float]]
    labels: Sequence[int]
    outlines: Sequence[int] | None = None
    names: Sequence[str] = ("a.png", "b.png")


def picture(path: Path, hw: tuple[int, int] = HW) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(hw, np.uint8)).save(path)


def write(root: Path, sample: str | Sample, pictures: Sequence[str] = ("a.png", "b.png")) -> Path:
    """The sample in a folder, with its pictures."""
    chosen = SAMPLES[sample] if isinstance(sample, str) else sample
    for name in pictures:
        picture(root / name)
    for name, content in chosen.files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content.encode() if isinstance(content, str) else content)
    return root


def roi(kind: int, bounds: tuple[int, int, int, int], name: str = "", points: Sequence[tuple[int, int]] = (), position: int = 0, subtype: int = 0) -> bytes:
    """An ImageJ ROI byte by byte, as ImageJ's RoiDecoder describes it: bounds are top, left, bottom, right; points count from the top left of the bounds."""
    coordinates = struct.pack(f">{2 * len(points)}h", *(x for x, _ in points), *(y for _, y in points))
    header2 = 64 + len(coordinates)
    head = struct.pack(">4shBxhhhhH16x", b"Iout", 227, kind, *bounds, len(points))
    head += struct.pack(">hi4s4shhBBhii", 0, 0, bytes(4), bytes(4), subtype, 0, 0, 0, 0, position, header2)
    second = struct.pack(">4xiiiii4shBBifiii", 0, 0, 0, header2 + 64 if name else 0, len(name), bytes(4), 0, 0, 0, 0, 0.0, 0, 0, 0)
    return head + coordinates + second.ljust(64, b"\0") + name.encode("utf-16-be")


def roi_set(rois: Mapping[str, bytes]) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        for name, data in rois.items():
            archive.writestr(name, data)
    return file.getvalue()


def as_json(content: Any) -> str:
    return json.dumps(content)


def via(regions: Any) -> dict[str, Any]:
    """What VIA keeps of two pictures."""
    plain = {"file_attributes": {}}
    return {
        "a.png12345": {"filename": "a.png", "size": 12345, "regions": regions, **plain},
        "b.png99": {"filename": "b.png", "size": 99, "regions": [], **plain},
    }


LABELIMG = """<annotation>
	<folder>images</folder>
	<filename>a.png</filename>
	<path>C:\\Users\\lab\\images\\a.png</path>
	<source>
		<database>Unknown</database>
	</source>
	<size>
		<width>200</width>
		<height>100</height>
		<depth>1</depth>
	</size>
	<segmented>0</segmented>
	<object>
		<name>vesicle</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>10</xmin>
			<ymin>20</ymin>
			<xmax>40</xmax>
			<ymax>60</ymax>
		</bndbox>
	</object>
	<object>
		<name>cup</name>
		<pose>Unspecified</pose>
		<truncated>1</truncated>
		<difficult>1</difficult>
		<bndbox>
			<xmin>150</xmin>
			<ymin>50</ymin>
			<xmax>200</xmax>
			<ymax>100</ymax>
		</bndbox>
	</object>
</annotation>
"""

MAKESENSE_VOC = """<annotation>
	<folder>grid-3</folder>
	<filename>a.png</filename>
	<path>/grid-3/a.png</path>
	<source>
		<database>Unspecified</database>
	</source>
	<size>
		<width>200</width>
		<height>100</height>
		<depth>3</depth>
	</size>
	<object>
		<name>vesicle</name>
		<pose>Unspecified</pose>
		<truncated>Unspecified</truncated>
		<difficult>Unspecified</difficult>
		<bndbox>
			<xmin>10</xmin>
			<ymin>20</ymin>
			<xmax>40</xmax>
			<ymax>60</ymax>
		</bndbox>
	</object>
	<object>
		<name>cup</name>
		<pose>Unspecified</pose>
		<truncated>0</truncated>
		<difficult>0</difficult>
		<bndbox>
			<xmin>150</xmin>
			<ymin>50</ymin>
			<xmax>200</xmax>
			<ymax>100</ymax>
		</bndbox>
	</object>
</annotation>"""

CVAT = """<?xml version="1.0" encoding="utf-8"?>
<annotations>
  <version>1.1</version>
  <meta>
    <task>
      <id>7</id>
      <name>grid 3</name>
      <size>2</size>
      <mode>annotation</mode>
      <labels>
        <label>
          <name>vesicle</name>
          <color>#fa3253</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
        <label>
          <name>gold</name>
          <color>#33ddff</color>
          <type>any</type>
          <attributes>
          </attributes>
        </label>
      </labels>
    </task>
    <dumped>2026-01-31 12:00:00.000000+00:00</dumped>
  </meta>
  <image id="0" name="a.png" width="200" height="100">
    <box label="vesicle" source="manual" occluded="0" xtl="10.00" ytl="20.00" xbr="40.50" ybr="60.25" z_order="0">
    </box>
    <polygon label="gold" source="manual" occluded="0" points="100.00,10.00;120.00,10.00;110.00,30.50" z_order="0">
    </polygon>
    <ellipse label="vesicle" source="manual" occluded="0" cx="150.00" cy="50.00" rx="20.00" ry="10.00" z_order="0">
    </ellipse>
    <mask label="vesicle" source="manual" occluded="0" rle="1, 3, 1, 5, 1, 3, 1" left="60" top="70" width="5" height="3" z_order="0">
    </mask>
    <polyline label="gold" source="manual" occluded="0" points="0.00,0.00;9.00,9.00" z_order="0">
    </polyline>
  </image>
  <image id="1" name="b.png" width="200" height="100">
  </image>
</annotations>
"""


def label_studio_result(kind: str, value: dict[str, Any], label: str, number: int) -> dict[str, Any]:
    return {
        "original_width": 200, "original_height": 100, "image_rotation": 0, "value": {**value, f"{kind}labels": [label]}, "id": f"r{number}",
        "from_name": "label", "to_name": "image", "type": f"{kind}labels", "origin": "manual",
    }  # fmt: skip


RECTANGLE = {"x": 5, "y": 20, "width": 15, "height": 40, "rotation": 0}
POLYGON = {"points": [[50, 10], [60, 10], [55, 30]], "closed": True}
ELLIPSE = {"x": 75, "y": 50, "radiusX": 10, "radiusY": 10, "rotation": 0}
SHAPES = [
    label_studio_result("rectangle", RECTANGLE, "vesicle", 1),
    label_studio_result("polygon", POLYGON, "gold", 2),
    label_studio_result("ellipse", ELLIPSE, "vesicle", 3),
]


def label_studio_task(number: int, name: str, result: list[Any]) -> dict[str, Any]:
    annotation = {"id": number, "completed_by": 1, "result": result, "was_cancelled": False, "ground_truth": False, "lead_time": 4.2, "result_count": 3}
    return {
        "id": number, "annotations": [annotation], "file_upload": f"0a1b2c3d-{name}", "drafts": [], "predictions": [],
        "data": {"image": f"/data/upload/4/0a1b2c3d-{name}"}, "meta": {}, "created_at": "2026-01-31T12:00:00Z", "project": 4,
    }  # fmt: skip


def label_studio_min(number: int, name: str, **results: Any) -> dict[str, Any]:
    written = {"annotator": 1, "annotation_id": number, "created_at": "2026-01-31T12:00:00Z", "updated_at": "2026-01-31T12:01:00Z", "lead_time": 4.2}
    return {"image": f"/data/local-files/?d=grid%203/{name}", "id": number, **results, **written}


VIA_REGIONS = [
    {"shape_attributes": {"name": "rect", "x": 10, "y": 20, "width": 30, "height": 40}, "region_attributes": {"type": "vesicle"}},
    {"shape_attributes": {"name": "circle", "cx": 100, "cy": 50, "r": 12.5}, "region_attributes": {"type": "cup"}},
    {"shape_attributes": {"name": "ellipse", "cx": 150, "cy": 50, "rx": 20, "ry": 10, "theta": 0}, "region_attributes": {"type": "cup"}},
    {"shape_attributes": {"name": "polygon", "all_points_x": [60, 80, 70], "all_points_y": [5, 5, 25]}, "region_attributes": {"type": "vesicle"}},
    {"shape_attributes": {"name": "point", "cx": 3, "cy": 3}, "region_attributes": {"type": "vesicle"}},
]
VIA_BOXES = [[10, 20, 40, 60], [87.5, 37.5, 112.5, 62.5], [130, 40, 170, 60], [60, 5, 80, 25]]
VIA_CSV = (
    "filename,file_size,file_attributes,region_count,region_id,region_shape_attributes,region_attributes\n"
    + "".join(
        f'a.png,12345,"{{}}",5,{i},"{json.dumps(region["shape_attributes"]).replace(chr(34), chr(34) * 2)}",'
        f'"{json.dumps(region["region_attributes"]).replace(chr(34), chr(34) * 2)}"\n'
        for i, region in enumerate(VIA_REGIONS)
    )
    + 'b.png,99,"{}",0,0,"{}","{}"'
)
LABELME = {
    "version": "5.5.0",
    "flags": {},
    "shapes": [
        {"label": "vesicle", "points": [[40.0, 60.0], [10.0, 20.5]], "group_id": None, "description": "", "shape_type": "rectangle", "flags": {}, "mask": None},
        {"label": "cup", "points": [[100.0, 50.0], [103.0, 54.0]], "group_id": None, "description": "", "shape_type": "circle", "flags": {}, "mask": None},
        {"label": "cup", "points": [[60.0, 5.0], [80.0, 5.0], [70.0, 25.0]], "group_id": None, "shape_type": "polygon", "flags": {}},
        {"label": "bar", "points": [[1.0, 1.0], [9.0, 1.0]], "group_id": None, "shape_type": "line", "flags": {}},
    ],
    "imagePath": "..\\pictures\\a.png",
    "imageData": None,
    "imageHeight": 100,
    "imageWidth": 200,
}
COCO = {
    "images": [{"id": 17, "file_name": "a.png", "width": 200, "height": 100}, {"id": 18, "file_name": "b.png", "width": 200, "height": 100}],
    "annotations": [{"id": 1, "image_id": 17, "category_id": 5, "bbox": [10, 20, 30.5, 40], "iscrowd": 0, "segmentation": [[10, 20, 40.5, 20, 40.5, 60]]}],
    "categories": [{"id": 5, "name": "exosome"}],
}
CVAT_COCO = {
    "licenses": [{"name": "", "id": 0, "url": ""}],
    "info": {"contributor": "", "date_created": "", "description": "", "url": "", "version": "", "year": ""},
    "categories": [{"id": 1, "name": "vesicle", "supercategory": ""}, {"id": 2, "name": "gold", "supercategory": ""}],
    "images": [
        {"id": 1, "width": 200, "height": 100, "file_name": "a.png", "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0},
        {"id": 2, "width": 200, "height": 100, "file_name": "b.png", "license": 0, "flickr_url": "", "coco_url": "", "date_captured": 0},
    ],
    "annotations": [
        {"id": 1, "image_id": 1, "category_id": 1, "segmentation": [], "area": 1227.625, "bbox": [10.0, 20.0, 30.5, 40.25], "iscrowd": 0,
         "attributes": {"occluded": False, "rotation": 0.0}},
        {"id": 2, "image_id": 1, "category_id": 2, "segmentation": [[100.0, 10.0, 120.0, 10.0, 110.0, 30.5]], "area": 205.0,
         "bbox": [100.0, 10.0, 20.0, 20.5], "iscrowd": 0, "attributes": {"occluded": False}},
    ],
}  # fmt: skip


def roboflow(name: str, boxes: Sequence[Sequence[float]]) -> dict[str, Any]:
    """COCO of one part, with the project as a class above the real ones."""
    annotations = [
        {"id": i, "image_id": 0, "category_id": 2, "bbox": list(box), "area": box[2] * box[3], "segmentation": [], "iscrowd": 0} for i, box in enumerate(boxes)
    ]
    return {
        "info": {"year": "2026", "version": "1", "description": "Exported from roboflow.com", "date_created": "2026-01-31T12:00:00+00:00"},
        "licenses": [{"id": 1, "url": "https://creativecommons.org/licenses/by/4.0/", "name": "CC BY 4.0"}],
        "categories": [
            {"id": 0, "name": "grid-3", "supercategory": "none"}, {"id": 1, "name": "cup", "supercategory": "grid-3"},
            {"id": 2, "name": "vesicle", "supercategory": "grid-3"},
        ],
        "images": [{"id": 0, "license": 1, "file_name": name, "height": 100, "width": 200, "date_captured": "2026-01-31T12:00:00+00:00"}],
        "annotations": annotations,
    }  # fmt: skip


DETECTIONS = "image,x1,y1,x2,y2,score,class,diameter_px,diameter_nm,on_border\na.png,10.0,20.0,40.5,60.25,0.9123,vesicle,35.03,,False\n"
IMAGES = (
    "image,width,height,count,pixel_size_nm,pixel_size_source,views,read_ms,network_ms,suppression_ms,warning,error\n"
    "a.png,200,100,1,,unknown,1,1.0,2.0,3.0,,\nb.png,200,100,0,,unknown,1,1.0,2.0,3.0,,\nc.png,,,,,,,,,,,damaged\n"
)

SAMPLES: dict[str, Sample] = {
    "voc": Sample({"a.xml": LABELIMG}, ["cup", "vesicle"], [[10, 20, 40, 60], [150, 50, 200, 100]], [1, 0]),
    "cvat": Sample({"annotations.xml": CVAT}, ["vesicle", "gold"],
                   [[10, 20, 40.5, 60.25], [100, 10, 120, 30.5], [130, 40, 170, 60], [60, 70, 65, 73]], [0, 1, 0, 0]),
    "labelstudio": Sample(
        {"project-4-at-2026-01-31-12-00-0a1b2c3d.json": as_json([label_studio_task(1, "a.png", SHAPES), label_studio_task(2, "b.png", [])])},
        ["gold", "vesicle"], [[10, 20, 40, 60], [100, 10, 120, 30], [130, 40, 170, 60]], [1, 0, 1],
    ),
    "labelstudio-min": Sample(
        {"min.json": as_json([label_studio_min(1, "a.png", label=[{"original_width": 200, "original_height": 100, **ELLIPSE, "ellipselabels": ["vesicle"]}],
                                               polygon=[{"original_width": 200, "original_height": 100, **POLYGON, "polygonlabels": ["gold"]}]),
                              label_studio_min(2, "b.png")])},
        ["gold", "vesicle"], [[130, 40, 170, 60], [100, 10, 120, 30]], [1, 0], [64, 3],
    ),
    "via": Sample({"via_region_data.json": as_json(via(VIA_REGIONS))}, ["cup", "vesicle"], VIA_BOXES, [1, 0, 0, 1]),
    "via-1": Sample({"via.json": as_json(via({str(i): region for i, region in enumerate(VIA_REGIONS)}))}, ["cup", "vesicle"], VIA_BOXES, [1, 0, 0, 1]),
    "via-project": Sample(
        {"via_project_31Jan2026_12h0m.json": as_json({"_via_settings": {"ui": {}}, "_via_img_metadata": via(VIA_REGIONS), "_via_attributes": {"region": {}},
                                                      "_via_data_format_version": "2.0.10", "_via_image_id_list": ["a.png12345", "b.png99"]})},
        ["cup", "vesicle"], VIA_BOXES, [1, 0, 0, 1],
    ),
    "via-csv": Sample({"via_region_data.csv": VIA_CSV}, ["cup", "vesicle"], VIA_BOXES, [1, 0, 0, 1]),
    "labelme": Sample({"a.json": as_json(LABELME)}, ["cup", "vesicle"], [[10, 20.5, 40, 60], [95, 45, 105, 55], [60, 5, 80, 25]], [1, 0, 0]),
    "makesense": Sample(
        {"labels_grid-3_2026-01-31-12-00-00.csv": "vesicle,10,20,30,40,a.png,200,100\ncup,150,50,50,50,a.png,200,100\n"},
        ["cup", "vesicle"], [[10, 20, 40, 60], [150, 50, 200, 100]], [1, 0],
    ),
    "imagej": Sample(
        {"a_RoiSet.zip": roi_set({"0040-0025.roi": roi(1, (20, 10, 60, 40), "0040-0025"), "cup-1.roi": roi(2, (40, 130, 60, 170), "cup-1"),
                                  "cup-2.roi": roi(7, (5, 60, 25, 80), "cup-2", [(0, 0), (20, 0), (10, 20)]), "bar.roi": roi(3, (0, 0, 0, 9), "bar")})},
        ["cup", "object"], [[10, 20, 40, 60], [130, 40, 170, 60], [60, 5, 80, 25]], [1, 0, 0],
    ),
    "imagej-single": Sample({"a.roi": roi(2, (40, 130, 60, 170), "a")}, ["object"], [[130, 40, 170, 60]], [0], [64]),
    "yolo": Sample(
        {"train/labels/a_png.rf.0a1b2c.txt": "0 0.125 0.4 0.15 0.4\n1 0.5 0.1 0.6 0.1 0.55 0.3", "valid/labels/b_png.rf.3d4e5f.txt": "",
         "README.roboflow.txt": "exported 2026",
         "data.yaml": "train: ../train/images\nval: ../valid/images\ntest: ../test/images\n\nnc: 2\nnames: ['vesicle', 'cup']\n"},
        ["vesicle", "cup"], [[10, 20, 40, 60], [100, 10, 120, 30]], [0, 1],
        names=("train/images/a_png.rf.0a1b2c.png", "valid/images/b_png.rf.3d4e5f.png"),
    ),
    "coco": Sample({"_annotations.coco.json": as_json(COCO)}, ["exosome"], [[10, 20, 40.5, 60]], [0], [3]),
    "makesense-header": Sample(
        {"labels_grid-3_2026-01-31-12-00-00.csv": "label_name,bbox_x,bbox_y,bbox_width,bbox_height,image_name,image_width,image_height\n"
                                                  "vesicle,10,20,30,40,a.png,200,100\ncup,150,50,50,50,a.png,200,100"},
        ["cup", "vesicle"], [[10, 20, 40, 60], [150, 50, 200, 100]], [1, 0],
    ),
    "voc-makesense": Sample({"a.xml": MAKESENSE_VOC}, ["cup", "vesicle"], [[10, 20, 40, 60], [150, 50, 200, 100]], [1, 0]),
    "yolo-makesense": Sample(  # its export has no names of classes; labels.txt is what it asks for to read it again
        {"a.txt": "0 0.125000 0.400000 0.150000 0.400000\n1 0.875000 0.750000 0.250000 0.500000", "labels.txt": "vesicle\ncup\n"},
        ["vesicle", "cup"], [[10, 20, 40, 60], [150, 50, 200, 100]], [0, 1],
    ),
    "yolo-labelimg": Sample({"a.txt": "1 0.125000 0.400000 0.150000 0.400000\n", "classes.txt": "cup\nvesicle\n"}, ["cup", "vesicle"], [[10, 20, 40, 60]], [1]),
    "yolo-cvat": Sample(
        {"obj_train_data/a.txt": "0 0.125000 0.400000 0.150000 0.400000\n", "obj_train_data/b.txt": "", "obj.names": "vesicle\ngold\n",
         "obj.data": "classes = 2\ntrain = data/train.txt\nnames = data/obj.names\nbackup = backup/\n",
         "train.txt": "data/obj_train_data/a.png\ndata/obj_train_data/b.png\n"},
        ["vesicle", "gold"], [[10, 20, 40, 60]], [0], names=("obj_train_data/a.png", "obj_train_data/b.png"),
    ),
    "yolo-ultralytics": Sample(
        {"labels/train/a.txt": "1 0.125000 0.400000 0.150000 0.400000\n", "data.yaml": "names:\n  0: vesicle\n  1: gold\npath: .\ntrain: train.txt\n",
         "train.txt": "data/images/train/a.png\ndata/images/train/b.png\n"},
        ["vesicle", "gold"], [[10, 20, 40, 60]], [1], names=("images/train/a.png", "images/train/b.png"),
    ),
    "yolo-labelstudio": Sample(
        {"labels/0a1b2c3d-a.txt": "1 0.125 0.4 0.15 0.4\n", "labels/4e5f6a7b-b.txt": "", "classes.txt": "cup\nvesicle\n",
         "notes.json": as_json({"categories": [{"id": 0, "name": "cup"}, {"id": 1, "name": "vesicle"}], "info": {"contributor": "Label Studio"}})},
        ["cup", "vesicle"], [[10, 20, 40, 60]], [1], names=("images/0a1b2c3d-a.png", "images/4e5f6a7b-b.png"),
    ),
    "coco-roboflow": Sample(
        {"train/_annotations.coco.json": as_json(roboflow("a.png", [[10, 20, 30.5, 40]])), "valid/_annotations.coco.json": as_json(roboflow("b.png", []))},
        ["cup", "vesicle"], [[10, 20, 40.5, 60]], [1], names=("train/a.png", "valid/b.png"),
    ),
    "coco-cvat": Sample(
        {"annotations/instances_default.json": as_json(CVAT_COCO)}, ["vesicle", "gold"], [[10, 20, 40.5, 60.25], [100, 10, 120, 30.5]], [0, 1],
        names=("images/default/a.png", "images/default/b.png"),
    ),
    "prediction": Sample({"detections.csv": DETECTIONS, "images.csv": IMAGES}, ["vesicle"], [[10, 20, 40.5, 60.25]], [0]),
}  # fmt: skip


def kind(name: str) -> str:
    """The format of a sample."""
    return name.partition("-")[0]

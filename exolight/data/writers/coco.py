"""COCO JSON: one file for all pictures, with the pixel size of each where it is known."""

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from exolight.data.writers.item import Item
from exolight.polygons import polygon_area


def write_coco(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """annotations.json; the pictures belong into images/. Regions that count neither way are crowds, scores of detections are kept."""
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for item in items:
        height, width = item.image.image_hw
        image = {"id": len(images) + 1, "file_name": item.name, "width": width, "height": height}
        if item.image.pixel_size_nm is not None:
            image["pixel_size_nm"] = item.image.pixel_size_nm
        images.append(image)
        outlines = item.image.outlines or [None] * len(item.image.boxes)
        for one, outline in zip(item.objects(ignored=True), outlines, strict=True):
            record = {"id": len(annotations) + 1, "image_id": image["id"]} | coco_annotation(one.box, one.label + 1, outline, one.score)
            annotations.append(record | {"iscrowd": int(one.ignore)})
    categories = [{"id": number, "name": name} for number, name in enumerate(class_names, start=1)]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (out / "annotations.json").write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")


def coco_annotation(box_xyxy: Sequence[float], category_id: int, outline: NDArray[np.floating] | None = None, score: float | None = None) -> dict[str, Any]:
    """One annotation without its ids, to a hundredth of a pixel; ``area`` is that of the outline (K, 2), where there is one, else of the box."""
    x1, y1, x2, y2 = (round(float(value), 2) for value in box_xyxy)
    width, height = round(x2 - x1, 2), round(y2 - y1, 2)
    record: dict[str, Any] = {"category_id": category_id, "bbox": [x1, y1, width, height], "area": round(width * height, 2), "iscrowd": 0}
    if score is not None:
        record["score"] = round(float(score), 4)
    if outline is not None and len(outline) >= 3:
        record |= {"area": round(polygon_area(outline), 2), "segmentation": [np.round(outline.astype(np.float64), 2).ravel().tolist()]}
    return record

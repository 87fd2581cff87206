"""A simulated data set as files that any tool reads: TIFF with its pixel size, and COCO annotations."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.errors import InputError

NM_PER_MICRON = 1000.0


def write_files(dataset: AnnotationSet, folder: str | Path) -> None:
    """Write ``folder``/images/NAME.tif (ImageJ TIFF, pixels per micrometre) and ``folder``/annotations.json (COCO; ``ignore`` becomes a crowd).

    Raises:
        InputError: the folder holds files already.
    """
    folder = Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"out={folder}: already holds files; give a new or empty folder")
    (folder / "images").mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, image in enumerate(dataset.images, start=1):
        name = f"{image.name}.tif"
        micrograph = image.read()
        size = micrograph.pixel_size_nm
        resolution = (NM_PER_MICRON / size, NM_PER_MICRON / size) if size else None
        tifffile.imwrite(folder / "images" / name, micrograph.pixels, imagej=True, resolution=resolution, metadata={"unit": "um"} if size else None)
        images.append({"id": number, "file_name": f"images/{name}", "height": image.image_hw[0], "width": image.image_hw[1], "pixel_size_nm": size})
        annotations += [{"id": len(annotations) + i + 1, "image_id": number, **row} for i, row in enumerate(coco_rows(image))]
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(dataset.class_names)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (folder / "annotations.json").write_text(text, encoding="utf-8")


def coco_rows(image: AnnotatedImage) -> list[dict[str, Any]]:
    """COCO's annotations of one picture, without the ids that only the whole file knows; polygons where outlines are known."""
    rows = []
    for i, (box, label, ignore) in enumerate(zip(image.boxes.astype(np.float64), image.labels, image.ignore, strict=True)):
        width, height = box[2:] - box[:2]
        row: dict[str, Any] = {"category_id": int(label) + 1, "bbox": [*box[:2].tolist(), width, height], "area": width * height, "iscrowd": int(ignore)}
        if image.outlines is not None:
            row["segmentation"] = [image.outlines[i].astype(float).round(2).flatten().tolist()]
        if image.diameters_nm is not None:
            row["diameter_nm"] = float(image.diameters_nm[i])
        rows.append(row)
    return rows

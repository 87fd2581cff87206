"""A simulated data set as files that any tool reads: TIFF with its pixel size, instance masks, COCO and YOLO annotations, a table of the vesicles."""

import csv
import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import tifffile

from exolight.errors import InputError
from exolight.simulation.picture import Truth, instance_mask
from exolight.simulation.ranges import Ranges
from exolight.simulation.source import CLASS_NAMES, picture

NM_PER_MICRON = 1000.0
COLUMNS = ("image", "number", "x1", "y1", "x2", "y2", "diameter_nm", "morphology", "visible", "overlap", "ignore", "nm_per_pixel")


def write_files(out: str | Path, count: int, seed: int, hw: tuple[int, int], pixel_size_nm: tuple[float, float], ranges: Ranges) -> int:
    """Write ``count`` pictures and the truth about them into a new folder, one after the other; returns the number of vesicles that count.

    Into ``out``: images/NAME.tif (ImageJ TIFF, pixels per micrometre), masks/NAME.png (16 bit, one number a vesicle, 0 background), labels/NAME.txt and
    data.yaml (YOLO), annotations.json (COCO; a vesicle too little of which is seen is a crowd; the YOLO text leaves it out), vesicles.csv.

    Raises:
        InputError: the folder holds files already.
    """
    out = Path(out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out={out}: already holds files; give a new or empty folder")
    for name in ("images", "masks", "labels"):
        (out / name).mkdir(parents=True)
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    with (out / "vesicles.csv").open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file)
        table.writerow(COLUMNS)
        for index in range(count):
            made, stem = picture(ranges, hw, pixel_size_nm, seed, index), f"simulated_{index:05d}"
            truth, size = made.truth(), made.grid.pixel_size_nm
            resolution = (NM_PER_MICRON / size, NM_PER_MICRON / size)
            tifffile.imwrite(out / "images" / f"{stem}.tif", made.pixels(), imagej=True, resolution=resolution, metadata={"unit": "um"})
            cv2.imencode(".png", instance_mask(truth, hw))[1].tofile(out / "masks" / f"{stem}.png")
            (out / "labels" / f"{stem}.txt").write_text(yolo_text(truth, hw), encoding="utf-8")
            images.append({"id": index + 1, "file_name": f"images/{stem}.tif", "height": hw[0], "width": hw[1], "pixel_size_nm": size})
            annotations += [{"id": len(annotations) + i + 1, "image_id": index + 1, **row} for i, row in enumerate(coco_rows(truth))]
            table.writerows(_table_rows(f"{stem}.tif", truth, size))
    categories = [{"id": i + 1, "name": name} for i, name in enumerate(CLASS_NAMES)]
    text = json.dumps({"images": images, "annotations": annotations, "categories": categories})
    (out / "annotations.json").write_text(text, encoding="utf-8")
    names = ", ".join(CLASS_NAMES)
    (out / "data.yaml").write_text(f"path: .\ntrain: images\nval: images\nnc: {len(CLASS_NAMES)}\nnames: [{names}]\n", encoding="utf-8")
    return sum(not row["iscrowd"] for row in annotations)


def coco_rows(truth: Truth) -> list[dict[str, Any]]:
    """COCO's annotations of one picture, without the ids that only the whole file knows; ``area`` is that of the polygon."""
    rows = []
    for i, box in enumerate(truth.boxes.astype(np.float64)):
        width, height = box[2:] - box[:2]
        x, y = truth.outlines[i].astype(np.float64).T
        rows.append(
            {
                "category_id": 1,
                "bbox": [*box[:2].tolist(), width, height],
                "area": 0.5 * abs(float((x * np.roll(y, -1) - y * np.roll(x, -1)).sum())),
                "iscrowd": int(truth.ignore[i]),
                "segmentation": [truth.outlines[i].astype(float).round(2).flatten().tolist()],
                "diameter_nm": round(float(truth.diameters_nm[i]), 3),
                "morphology": truth.morphology[i],
                "visible": round(float(truth.visible[i]), 4),
                "overlap": round(float(truth.overlap[i]), 4),
            }
        )
    return rows


def yolo_text(truth: Truth, hw: tuple[int, int]) -> str:
    """YOLO's lines of one picture: class, centre x, centre y, width, height as shares of the picture; without what counts neither way."""
    lines = []
    for x1, y1, x2, y2 in truth.boxes[~truth.ignore].astype(np.float64):
        lines.append(f"0 {(x1 + x2) / 2 / hw[1]:.6f} {(y1 + y2) / 2 / hw[0]:.6f} {(x2 - x1) / hw[1]:.6f} {(y2 - y1) / hw[0]:.6f}\n")
    return "".join(lines)


def _table_rows(name: str, truth: Truth, pixel_size_nm: float) -> list[list[Any]]:
    return [
        [name, i + 1, *(f"{v:.2f}" for v in box), f"{truth.diameters_nm[i]:.2f}", truth.morphology[i], f"{truth.visible[i]:.3f}", f"{truth.overlap[i]:.3f}",
         int(truth.ignore[i]), f"{pixel_size_nm:.5f}"]
        for i, box in enumerate(truth.boxes)
    ]  # fmt: skip

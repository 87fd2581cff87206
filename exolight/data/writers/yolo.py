"""YOLO: data.yaml and a text file a picture, ``class cx cy w h`` or ``class x1 y1 x2 y2 ...`` in fractions of its sides."""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import yaml
from numpy.typing import NDArray

from exolight.data.writers.item import Item


def write_yolo(items: Iterable[Item], class_names: Sequence[str], out: Path) -> None:
    """labels/NAME.txt of every picture and data.yaml; the pictures belong into images/. Regions that count neither way are left out."""
    for item in items:
        drawn = list(item.objects())
        text = yolo_lines([one.box for one in drawn], [one.label for one in drawn], item.image.image_hw, outlines=[one.outline for one in drawn])
        path = out / "labels" / f"{item.stem}.txt"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    names = [str(name) for name in class_names]
    content = {"path": ".", "train": "images", "val": "images", "nc": len(names), "names": names}
    (out / "data.yaml").write_text(yaml.safe_dump(content, sort_keys=False, allow_unicode=True), encoding="utf-8")


def yolo_lines(
    boxes_xyxy: Sequence[Sequence[float]] | NDArray[np.floating],
    labels: Sequence[int] | NDArray[np.integer],
    image_hw: tuple[int, int],
    scores: Sequence[float] | NDArray[np.floating] | None = None,
    outlines: Sequence[NDArray[np.floating] | None] | None = None,
) -> str:
    """The text of one picture, a line an object.

    Args:
        boxes_xyxy: (N, 4) px. labels: (N,).
        image_hw: (height, width) px.
        scores: (N,), written as a sixth number after a box, as predictions have it; polygons carry none.
        outlines: N polygons (K, 2) px or None; one that is there is written instead of its box.
    """
    height, width = image_hw
    boxes = np.asarray(boxes_xyxy, np.float64).reshape(-1, 4) / (width, height, width, height)
    centres, sizes = (boxes[:, :2] + boxes[:, 2:]) / 2, boxes[:, 2:] - boxes[:, :2]
    lines: list[str] = []
    for i, (label, numbers) in enumerate(zip(labels, np.concatenate([centres, sizes], axis=1).tolist(), strict=True)):
        outline = None if outlines is None else outlines[i]
        if outline is not None:
            numbers = (outline / (width, height)).ravel().tolist()
        score = f" {scores[i]:.4f}" if scores is not None and outline is None else ""
        lines.append(f"{int(label)} {' '.join(f'{number:.6f}' for number in numbers)}{score}\n")
    return "".join(lines)

"""Writers of annotations, one module per format: objects and class names go into a folder, the pictures belong into its images/."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from exolight.data.writers.coco import write_coco
from exolight.data.writers.cvat import write_cvat
from exolight.data.writers.imagej import write_imagej
from exolight.data.writers.item import Item
from exolight.data.writers.label_studio import write_label_studio
from exolight.data.writers.voc import write_voc
from exolight.data.writers.yolo import write_yolo

WRITERS: Mapping[str, Callable[[Iterable[Item], Sequence[str], Path], None]] = {
    "coco": write_coco,
    "cvat": write_cvat,
    "imagej": write_imagej,
    "labelstudio": write_label_studio,
    "voc": write_voc,
    "yolo": write_yolo,
}

__all__ = ["WRITERS", "Item", "write_coco", "write_cvat", "write_imagej", "write_label_studio", "write_voc", "write_yolo"]

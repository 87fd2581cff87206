"""Readers of annotations, one module per format. Each returns an ``AnnotationSet`` and raises one ``InputError`` for all that is wrong."""

from exolight.data.annotations.cbia import read_cbia
from exolight.data.annotations.coco import read_coco
from exolight.data.annotations.detect import READERS, read_folder
from exolight.data.annotations.masks import read_masks
from exolight.data.annotations.yolo import read_yolo

__all__ = ["READERS", "read_cbia", "read_coco", "read_folder", "read_masks", "read_yolo"]

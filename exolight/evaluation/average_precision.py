"""Average precision after COCO, without COCO's limit of 100 boxes a picture."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torchmetrics.detection import MeanAveragePrecision

from exolight.evaluation.records import ImageResult

# Detections a picture (and class) that count. COCO's 100 would call the rest of a crowded micrograph missed without a word.
MAX_DETECTIONS = 1000


def average_precision(results: Sequence[ImageResult], class_names: Sequence[str]) -> dict[str, float]:
    """COCO's average precision and recall of boxes (Lin et al., ECCV 2014, https://cocodataset.org/#detection-eval), as plain names in [0, 1].

    - ``map``: mean over IoU 0.50, 0.55, ... 0.95 and over classes; ``map_50``, ``map_75``: at one IoU.
    - ``map_small``, ``map_medium``, ``map_large``: objects under 32^2, up to 96^2 and above 96^2 square pixels of the image the boxes are in.
    - ``mar``: mean of the largest recall over the same IoUs and over classes; ``mar_small``, ``mar_medium``, ``mar_large``: of objects of those sizes.
    - ``map/<class>``: the same as ``map`` for each class, where there are several.

    ``ignore`` regions count neither way (COCO's crowds); detections in pictures without truth count as false. ``nan`` where nothing is there to be found.
    The last of the detection caps grows to the most crowded picture. It touches no process group: ``gather`` the results first.
    """
    cap = max([MAX_DETECTIONS, *(max(len(result.boxes), len(result.truth_boxes)) for result in results)])
    metric = MeanAveragePrecision(
        iou_type="bbox",
        # COCO's own grids in double precision; the metric's defaults are float32, and 0.1f > 0.1 moves a point where recall equals it
        iou_thresholds=np.linspace(0.5, 0.95, 10).tolist(),
        rec_thresholds=np.linspace(0.0, 1.0, 101).tolist(),
        max_detection_thresholds=[1, 100, cap],
        class_metrics=len(class_names) > 1,
        backend="faster_coco_eval",  # pycocotools answers -1 for any cap but 100
        sync_on_compute=False,
    )
    for result in results:
        metric.update([_prediction(result)], [_target(result)])
    values = metric.compute() if results else {}
    names = {name: name for name in ("map", "map_50", "map_75", *(f"{score}_{size}" for score in ("map", "mar") for size in ("small", "medium", "large")))}
    names["mar"] = f"mar_{cap}"
    scores = {name: _defined(values.get(key)) for name, key in names.items()}
    if len(class_names) > 1:
        # both lists hold the classes that occur; compute() squeezes a single one to a scalar
        classes, each = (torch.as_tensor(values.get(key, [])).reshape(-1).tolist() for key in ("classes", "map_per_class"))
        present = dict(zip(classes, each, strict=True))
        scores |= {f"map/{name}": _defined(present.get(index)) for index, name in enumerate(class_names)}
    return scores


def _prediction(result: ImageResult) -> dict[str, Tensor]:
    return {"boxes": torch.from_numpy(result.boxes), "scores": torch.from_numpy(result.scores), "labels": torch.from_numpy(result.labels)}


def _target(result: ImageResult) -> dict[str, Tensor]:
    boxes = torch.from_numpy(result.truth_boxes)
    return {
        "boxes": boxes,
        "labels": torch.from_numpy(result.truth_labels),
        "iscrowd": torch.from_numpy(result.truth_ignore).long(),
        "area": (boxes[:, 2:] - boxes[:, :2]).prod(dim=1),
    }


def _defined(value: Any) -> float:
    """COCO's -1 means undefined: no truth of that class or size."""
    number = float("nan") if value is None else float(value)
    return float("nan") if number < 0 else number

"""Average precision and recall of objects of each size in nm."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from faster_coco_eval import COCO, COCOeval_faster
from numpy.typing import NDArray

from exolight.evaluation.average_precision import MAX_DETECTIONS
from exolight.evaluation.records import ImageResult, Images
from exolight.evaluation.sizes import BANDS_NM


def precision_by_size(results: Sequence[ImageResult], images: Images, num_classes: int) -> dict[str, float]:
    """``map/30_60nm``, ``mar/30_60nm`` and so on: ``map`` and ``mar`` of ``average_precision`` for objects of each of ``BANDS_NM`` by their box's diameter.

    Objects of other sizes, and detections of other sizes that find none, count neither way (COCO's rule for areas: Lin et al., ECCV 2014). nan where no object
    has that size; ``objects/30_60nm`` says how many have. Pictures whose nm per pixel is unknown are left out; empty where none is known.
    """
    known = [(result, size) for result in results if (size := images[result.image_id].pixel_size_nm) is not None]
    if not known:
        return {}
    cap = max([MAX_DETECTIONS, *(max(len(result.boxes), len(result.truth_boxes)) for result, _ in known)])
    truth: list[dict[str, Any]] = []
    found: list[dict[str, Any]] = []
    for number, (result, size) in enumerate(known):
        boxes, ignore = _xywh(result.truth_boxes, size), result.truth_ignore.tolist()
        for box, label, crowd in zip(boxes, result.truth_labels.tolist(), ignore, strict=True):
            area = box[2] * box[3]
            truth.append({"id": len(truth) + 1, "image_id": number, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)})
        for box, label, score in zip(_xywh(result.boxes, size), result.labels.tolist(), result.scores.tolist(), strict=True):
            found.append({"image_id": number, "category_id": label, "bbox": box, "score": score})
    pictures, categories = [{"id": number} for number in range(len(known))], [{"id": label} for label in range(num_classes)]
    coco = COCO({"info": {}, "images": pictures, "annotations": truth, "categories": categories})
    run = COCOeval_faster(coco, coco.loadRes(found), "bbox", print_function=lambda *_: None)
    run.params.maxDets = [cap]
    run.params.areaRng, run.params.areaRngLbl = [[low**2, high**2] for low, high in BANDS_NM.values()], list(BANDS_NM)
    run.evaluate()
    run.accumulate()
    diameters = np.sqrt([one["area"] for one in truth if not one["iscrowd"]])
    scores = {}
    for index, (band, (low, high)) in enumerate(BANDS_NM.items()):
        scores[f"map/{band}"] = _mean(run.eval["precision"][:, :, :, index])  # (IoUs, recalls, classes, bands, caps)
        scores[f"mar/{band}"] = _mean(run.eval["recall"][:, :, index])  # (IoUs, classes, bands, caps)
        scores[f"objects/{band}"] = float(((diameters >= low) & (diameters <= high)).sum())
    return scores


def _xywh(boxes: NDArray[np.float32], pixel_size_nm: float) -> list[list[float]]:
    """(N, 4) xyxy px -> N of x, y, width, height in nm."""
    corners = boxes.astype(np.float64) * pixel_size_nm
    return np.concatenate((corners[:, :2], corners[:, 2:] - corners[:, :2]), axis=1).tolist()


def _mean(values: NDArray[np.float64]) -> float:
    """Of those that are defined; COCO's -1 means undefined."""
    defined = values[values > -1]
    return float(defined.mean()) if len(defined) else float("nan")

"""Average precision by size in nm equals that of COCO's own program with those area ranges."""

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.records import ImageResult
from exolight.evaluation.size_bands import precision_by_size
from exolight.evaluation.sizes import BANDS_NM
from exolight.micrograph import Micrograph


def reader() -> Micrograph:
    raise AssertionError("scores need no pixels")


def scene(image_id: int, pixel_size_nm: float | None, classes: int = 1, crowds: int = 0) -> tuple[ImageResult, AnnotatedImage]:
    """Thirty vesicles of 20 to 260 nm on a picture that is not square, most of them found, with false detections of all sizes among them."""
    rng = np.random.default_rng(image_id)
    scale = pixel_size_nm or 1.0
    low = rng.uniform(0, (900, 500), (30, 2))
    truth = np.concatenate((low, low + rng.uniform(20, 260, (30, 1)) * rng.uniform(0.8, 1.2, (30, 2)) / scale), axis=1).astype(np.float32)
    labels, ignore, found = rng.integers(0, classes, 30), np.arange(30) < crowds, rng.random(30) < 0.8
    low = rng.uniform(0, (900, 500), (15, 2))
    false = np.concatenate((low, low + rng.uniform(20, 260, (15, 1)) / scale), axis=1)
    boxes = np.concatenate((truth[found] + rng.normal(0, 3, (int(found.sum()), 4)), false)).astype(np.float32)
    scores = rng.uniform(0.01, 1, len(boxes)).astype(np.float32)
    result = ImageResult(image_id, "", boxes, scores, np.concatenate((labels[found], rng.integers(0, classes, 15))), truth, labels, ignore)
    return result, AnnotatedImage("", reader, (600, 1000), truth, labels, ignore, pixel_size_nm=pixel_size_nm)


def pycocotools_scores(results: Sequence[ImageResult], images: Sequence[AnnotatedImage], classes: int, band: tuple[float, float]) -> tuple[float, float]:
    """AP and AR of one band, with all lengths in nm."""
    truth: list[dict] = []
    found: list[dict] = []
    for result in results:
        nm = float(images[result.image_id].pixel_size_nm or 0)
        for box, label, crowd in zip(result.truth_boxes.astype(float) * nm, result.truth_labels.tolist(), result.truth_ignore.tolist(), strict=True):
            x1, y1, x2, y2 = box.tolist()
            one = {"id": len(truth) + 1, "image_id": result.image_id, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1]}
            truth.append(one | {"area": (x2 - x1) * (y2 - y1), "iscrowd": int(crowd)})
        for box, label, score in zip(result.boxes.astype(float) * nm, result.labels.tolist(), result.scores.tolist(), strict=True):
            x1, y1, x2, y2 = box.tolist()
            found.append({"image_id": result.image_id, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": r.image_id} for r in results], "annotations": truth, "categories": [{"id": i} for i in range(classes)], "info": {}}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.params.maxDets, run.params.areaRng, run.params.areaRngLbl = [1000], [[band[0] ** 2, band[1] ** 2]], ["band"]
        run.evaluate()
        run.accumulate()
    precision, recall = run.eval["precision"], run.eval["recall"]
    return float(precision[precision > -1].mean()), float(recall[recall > -1].mean())


@pytest.mark.parametrize(("classes", "crowds"), [(1, 0), (1, 3), (3, 3)])
def test_equals_pycocotools(classes: int, crowds: int) -> None:
    pairs = [scene(index, 0.7 + 0.4 * index, classes, crowds) for index in range(6)]
    results, images = [pair[0] for pair in pairs], [pair[1] for pair in pairs]
    ours = precision_by_size(results, images, classes)
    for band, edges in BANDS_NM.items():
        assert (ours[f"map/{band}"], ours[f"mar/{band}"]) == pytest.approx(pycocotools_scores(results, images, classes, edges), abs=1e-6)
    assert len({round(ours[f"map/{band}"], 3) for band in BANDS_NM}) == len(BANDS_NM)
    assert sum(ours[f"objects/{band}"] for band in BANDS_NM) == 6 * (30 - crowds)
    whole = average_precision(results, [str(label) for label in range(classes)])["map"]
    assert min(ours[f"map/{band}"] for band in BANDS_NM) < whole < max(ours[f"map/{band}"] for band in BANDS_NM)


def square(x: float, side: float) -> list[float]:
    return [x, 10, x + side, 10 + side]


def test_other_sizes_count_neither_way() -> None:
    """Of 2 nm a px: an object of 40 and one of 80 nm, both found; false detections of 50 and of 120 nm, both surer."""
    truth = np.array([square(0, 20), square(100, 40)], np.float32)
    boxes = np.array([square(0, 20), square(100, 40), square(300, 25), square(400, 60)], np.float32)
    result = ImageResult(5, "", boxes, np.array([0.8, 0.8, 0.9, 0.9], np.float32), np.zeros(4, np.int64), truth, np.zeros(2, np.int64), np.zeros(2, bool))
    image = AnnotatedImage("", reader, (100, 500), truth, np.zeros(2, np.int64), np.zeros(2, bool), pixel_size_nm=2.0)
    scores = precision_by_size([result], {5: image}, 1)
    assert scores["map/30_60nm"] == pytest.approx(0.5)  # the false one of its size comes first
    assert scores["map/60_100nm"] == pytest.approx(1)
    assert [scores[f"objects/{band}"] for band in BANDS_NM] == [0, 1, 1, 0, 0]
    assert [scores[f"mar/{band}"] for band in ("30_60nm", "60_100nm")] == [1, 1]
    assert all(math.isnan(scores[f"{name}/{band}"]) for name in ("map", "mar") for band in ("under_30nm", "100_200nm", "over_200nm"))


def test_pictures_without_a_scale_are_left_out() -> None:
    (first, known), (second, unknown) = scene(0, 1.5), scene(1, None)
    assert precision_by_size([first, second], [known, unknown], 1) == pytest.approx(precision_by_size([first], [known], 1), nan_ok=True)
    assert precision_by_size([second], {1: unknown}, 1) == {}
    assert precision_by_size([], [], 1) == {}


def test_nothing_found_is_zero() -> None:
    result, image = scene(0, 1.5)
    scores = precision_by_size([result._replace(boxes=result.boxes[:0], scores=result.scores[:0], labels=result.labels[:0])], [image], 1)
    assert (scores["map/60_100nm"], scores["mar/60_100nm"]) == (0, 0)

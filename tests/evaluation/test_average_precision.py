"""Average precision equals COCO's own program, without its cap of 100 boxes."""

import contextlib
import io
import math
from collections.abc import Sequence

import numpy as np
import pytest
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.records import ImageResult


def random_result(image_id: int, objects: int, classes: int = 1, crowds: int = 0, extra: int = 5, size: float = 800) -> ImageResult:
    """Truth on a non-square picture, found with jitter, some missed, and ``extra`` false detections."""
    rng = np.random.default_rng(image_id)
    low = rng.uniform(0, (size, size / 2), (objects, 2))
    truth = np.concatenate((low, low + rng.uniform(20, 130, (objects, 2))), axis=1)
    labels = rng.integers(0, classes, objects)
    ignore = np.arange(objects) < crowds
    found = rng.random(objects) < 0.8
    low = rng.uniform(0, (size, size / 2), (extra, 2))
    boxes = np.concatenate((truth[found] + rng.normal(0, 3, (int(found.sum()), 4)), np.concatenate((low, low + rng.uniform(8, 130, (extra, 2))), axis=1)))
    scores = rng.uniform(0.001, 1, len(boxes))
    return ImageResult(
        image_id, f"{image_id}.png", boxes.astype(np.float32), scores.astype(np.float32),
        np.concatenate((labels[found], rng.integers(0, classes, extra))), truth.astype(np.float32), labels, ignore,
    )  # fmt: skip


def pycocotools_scores(results: Sequence[ImageResult], classes: int, cap: int) -> dict[str, float]:
    truth: list[dict] = []
    found: list[dict] = []
    for result in results:
        for (x1, y1, x2, y2), label, crowd in zip(result.truth_boxes.tolist(), result.truth_labels.tolist(), result.truth_ignore.tolist(), strict=True):
            area = (x2 - x1) * (y2 - y1)
            box = [x1, y1, x2 - x1, y2 - y1]
            truth.append({"id": len(truth) + 1, "image_id": result.image_id, "category_id": label, "bbox": box, "area": area, "iscrowd": int(crowd)})
        for (x1, y1, x2, y2), label, score in zip(result.boxes.tolist(), result.labels.tolist(), result.scores.tolist(), strict=True):
            found.append({"image_id": result.image_id, "category_id": label, "bbox": [x1, y1, x2 - x1, y2 - y1], "score": score})
    with contextlib.redirect_stdout(io.StringIO()):
        coco = COCO()
        coco.dataset = {"images": [{"id": r.image_id} for r in results], "annotations": truth, "categories": [{"id": i} for i in range(classes)], "info": {}}
        coco.createIndex()
        run = COCOeval(coco, coco.loadRes(found), "bbox")
        run.params.maxDets = [1, 100, cap]
        run.evaluate()
        run.accumulate()
    precision, recall = run.eval["precision"], run.eval["recall"]  # (T, R, K, A, M), (T, K, A, M)
    mean = lambda values: float(values[values > -1].mean()) if (values > -1).any() else math.nan  # noqa: E731
    scores = {"map": mean(precision[..., 0, 2]), "map_50": mean(precision[0, ..., 0, 2]), "map_75": mean(precision[5, ..., 0, 2])}
    scores["mar"] = mean(recall[..., 0, 2])
    for index, size in enumerate(("small", "medium", "large"), 1):
        scores |= {f"map_{size}": mean(precision[..., index, 2]), f"mar_{size}": mean(recall[..., index, 2])}
    return scores | ({f"map/{index}": mean(precision[:, :, index, 0, 2]) for index in range(classes)} if classes > 1 else {})


@pytest.mark.parametrize(("classes", "crowds"), [(1, 0), (1, 3), (3, 3)])
def test_equals_pycocotools(classes: int, crowds: int) -> None:
    results = [random_result(index, objects=8 + 3 * index, classes=classes, crowds=crowds) for index in range(8)]
    results.append(random_result(8, objects=0))  # background with false detections
    ours = average_precision(results, [str(index) for index in range(classes)])
    assert ours == pytest.approx(pycocotools_scores(results, classes, 1000), abs=1e-6)
    assert 0.1 < ours["map"] < 0.9


def test_crowded_pictures_are_counted_whole() -> None:
    results = [random_result(index, objects=300, size=6000) for index in range(2)]
    ours = average_precision(results, ["exosome"])
    assert ours == pytest.approx(pycocotools_scores(results, 1, 1000), abs=1e-6)
    assert ours["mar"] > pycocotools_scores(results, 1, 100)["mar"] + 0.1


def test_the_cap_grows_with_the_picture() -> None:
    steps = np.arange(1200, dtype=np.float32)[:, None] * 20
    truth = np.concatenate((steps, steps * 0, steps + 10, steps * 0 + 12), axis=1)
    labels = np.zeros(1200, np.int64)
    perfect = ImageResult(0, "a", truth, np.linspace(0.1, 1, 1200, dtype=np.float32), labels, truth, labels, np.zeros(1200, bool))
    assert average_precision([perfect], ["exosome"])["mar"] == pytest.approx(1)


def test_background_pictures_count() -> None:
    clean = random_result(0, objects=20, extra=0)
    background = random_result(1, objects=0, extra=10)
    alone, both = average_precision([clean], ["exosome"]), average_precision([clean, background], ["exosome"])
    assert both["map"] < alone["map"]


def test_undefined_is_nan() -> None:
    for results in ([], [random_result(0, objects=0, extra=0)], [random_result(0, objects=0, extra=5)]):
        scores = average_precision(results, ["exosome", "artefact"])
        sizes = {f"{score}_{size}" for score in ("map", "mar") for size in ("small", "medium", "large")}
        assert set(scores) == {"map", "map_50", "map_75", "mar", *sizes, "map/exosome", "map/artefact"}
        assert all(math.isnan(value) for value in scores.values())


def test_nothing_found_is_zero() -> None:
    empty = random_result(0, objects=10)._replace(boxes=np.zeros((0, 4), np.float32), scores=np.zeros(0, np.float32), labels=np.zeros(0, np.int64))
    assert average_precision([empty], ["exosome"])["map"] == 0

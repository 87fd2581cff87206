"""Confusion, kinds of error, what they cost, and touching vesicles, against numbers computed by hand."""

import math

import numpy as np
import pytest

from exolight.evaluation.curves import confidence_curves, score_at
from exolight.evaluation.errors import Kind, ap_gains, confusion, error_counts, error_kinds, touching
from exolight.evaluation.records import ImageResult


def result(
    boxes: list[list[float]], scores: list[float], truth: list[list[float]], labels: list[int] | None = None, truth_labels: list[int] | None = None,
    ignore: list[bool] | None = None,
) -> ImageResult:  # fmt: skip
    return ImageResult(
        0, "0",
        np.array(boxes, np.float32).reshape(-1, 4), np.array(scores, np.float32), np.array(labels or [0] * len(boxes), np.int64),
        np.array(truth, np.float32).reshape(-1, 4), np.array(truth_labels or [0] * len(truth), np.int64), np.array(ignore or [False] * len(truth), bool),
    )  # fmt: skip


def square(x: float, y: float = 0) -> list[float]:
    """Ten pixels wide: a shift by 2 px is an IoU of 8 / 12, by 5 px of 5 / 15, by 9 px of 1 / 19."""
    return [x, y, x + 10, y + 10]


def crowded(seed: int, classes: int = 3) -> ImageResult:
    """Truths on top of each other, two detections for each of them, a third of these of a wrong class, two regions to ignore."""
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 200, (12, 2))
    truth = np.concatenate((low, low + rng.uniform(20, 60, (12, 2))), axis=1)
    labels, picked = rng.integers(0, classes, 12), rng.integers(0, 12, 24)
    boxes = truth[picked] + rng.normal(0, 5, (24, 4))
    given = np.where(rng.random(24) < 2 / 3, labels[picked], rng.integers(0, classes, 24))
    return result(boxes.tolist(), rng.random(24).tolist(), truth.tolist(), given.tolist(), labels.tolist(), [True, True] + [False] * 10)


# At x = 0 found, and found again; 100 badly placed; 200 of class 1 where the detection says 0; 300 both; 400 found, but weakly; 500 to 600 ignored.
# One detection is of nothing (700), one nearly so (-9).
SIX = result(
    [square(0), square(2), square(105), square(200), square(305), square(700), square(-9), square(550), square(400)],
    [0.9, 0.8, 0.7, 0.6, 0.55, 0.5, 0.45, 0.4, 0.1],
    [square(0), square(100), square(200), square(300), square(400), [500, 0, 600, 50]],
    truth_labels=[0, 0, 1, 1, 0, 0],
    ignore=[False] * 5 + [True],
)


def test_every_detection_and_truth_has_its_kind() -> None:
    kinds = error_kinds(SIX, 0.3)
    assert [Kind(kind).name for kind in kinds.detections] == [
        "TRUE", "DUPLICATE", "LOCALISATION", "CLASSIFICATION", "BOTH", "BACKGROUND", "BACKGROUND", "UNCOUNTED", "UNCOUNTED",
    ]  # fmt: skip
    assert [Kind(kind).name for kind in kinds.truths] == ["TRUE", "LOCALISATION", "CLASSIFICATION", "MISSED", "MISSED", "UNCOUNTED"]
    assert kinds.repairs.tolist() == [-1, -1, 1, 2, -1, -1, -1, -1, -1]
    assert error_counts([SIX, SIX], 0.3) == {
        "true": 2, "classification": 2, "localisation": 2, "both": 2, "duplicate": 2, "background": 4, "missed": 4,
    }  # fmt: skip


def test_thresholds_move_the_kinds() -> None:
    assert error_counts([SIX], 0.05)["missed"] == 1  # the weak detection finds its truth
    assert error_counts([SIX], 0.05)["true"] == 2
    assert error_counts([SIX], 0.3, t_b=0.05)["localisation"] == 2  # 1 / 19 with a truth that is found
    assert error_counts([SIX], 0.3, t_f=0.3)["true"] == 2  # 5 / 15 is enough
    assert error_counts([SIX], 0.95) == {"true": 0, "classification": 0, "localisation": 0, "both": 0, "duplicate": 0, "background": 0, "missed": 5}


def test_the_best_error_repairs_its_truth_and_no_other() -> None:
    image = result([square(4), square(5), square(0)], [0.5, 0.6, 0.4], [square(0)], labels=[0, 0, 1])
    kinds = error_kinds(image)
    assert kinds.detections.tolist() == [Kind.LOCALISATION, Kind.LOCALISATION, Kind.CLASSIFICATION]
    assert kinds.repairs.tolist() == [-1, 0, -1]
    assert kinds.truths.tolist() == [Kind.LOCALISATION]


@pytest.mark.parametrize("threshold", [0.0, 0.4, 0.8])
def test_counts_add_up_and_agree_with_score_at(threshold: float) -> None:
    results = [crowded(seed) for seed in range(6)]
    counts, scores, found = error_counts(results, threshold), score_at(results, threshold), confusion(results, 3, threshold)
    detections = sum(counts.values()) - counts["missed"]
    truths = 6 * 10
    assert counts["true"] == found.true == round(scores["precision"] * detections) == round(scores["recall"] * truths)
    assert (found.true + found.false, found.true + found.missed) == (detections, truths)
    assert np.trace(found.matrix) == found.true
    assert (found.matrix[:3].sum(), found.matrix[:, :3].sum(), found.matrix[3, 3]) == (detections, truths, 0)
    standing_for = np.concatenate([error_kinds(each, threshold).repairs for each in results]) >= 0
    assert counts["true"] + standing_for.sum() + counts["missed"] == truths


def test_confusion_by_hand() -> None:
    # class 0: one found, one badly placed, one missed; of class 1 one taken for class 0, one badly placed as well
    assert confusion([SIX], 2, 0.3).matrix.tolist() == [[1, 1, 5], [0, 0, 0], [2, 1, 0]]
    assert confusion([SIX], 2, 0.3)[:3] == (1, 6, 4)
    assert confusion([SIX], 2, 0.3, iou=0.3).matrix.tolist() == [[2, 2, 3], [0, 0, 0], [1, 0, 0]]
    assert confusion([], 1, 0.3).matrix.tolist() == [[0, 0], [0, 0]]


def test_a_wrong_class_takes_no_truth_from_the_right_one() -> None:
    image = result([square(0), square(2)], [0.9, 0.5], [square(0)], labels=[1, 0])
    assert confusion([image], 2, 0.3).matrix.tolist() == [[1, 0, 0], [0, 0, 1], [0, 0, 0]]


def test_ap_gains_by_hand() -> None:
    # three truths, of which 34, 67 and 101 of the 101 recalls need one, two and all; in order of score true, badly placed, background, duplicate
    image = result([square(0), square(105), square(700), square(2)], [0.9, 0.8, 0.7, 0.6], [square(0), square(100), square(200)])
    assert confidence_curves([image], 1).average_precision[0] == pytest.approx(34 / 101)
    assert ap_gains([image], 1) == pytest.approx({
        "classification": 0, "both": 0, "duplicate": 0, "background": 0,
        "localisation": (67 - 34) / 101,
        "missed": (51 - 34) / 101,  # the one of two
    })  # fmt: skip
    late = image._replace(scores=np.array([0.7, 0.8, 0.9, 0.6], np.float32))  # background, badly placed, true (precision 1 / 3), duplicate
    assert ap_gains([late], 1) == pytest.approx({
        "classification": 0, "both": 0, "duplicate": 0,
        "background": 34 * (1 / 2 - 1 / 3) / 101,
        "localisation": (67 * 2 / 3 - 34 / 3) / 101,
        "missed": (51 - 34) / 3 / 101,
    })  # fmt: skip


def test_ap_gains_of_classes() -> None:
    # one truth of class 0 called 1, the better detection of it badly placed besides; one of class 1 found after these two
    image = result([square(0), square(5), square(300)], [0.8, 0.9, 0.5], [square(0), square(300)], labels=[1, 1, 1], truth_labels=[0, 1])
    gains = ap_gains([image], 2)  # APs are 0 and 1 / 3
    assert gains["classification"] == pytest.approx((1 + 1 / 2 - 1 / 3) / 2)  # the detection is then of class 0, and leaves class 1 with one false one
    assert gains["both"] == pytest.approx((0 + 1 / 2 - 1 / 3) / 2)
    assert gains["duplicate"] == gains["background"] == gains["localisation"] == gains["missed"] == 0


def scene(points: list[tuple[int, float, bool]], missed: list[int]) -> ImageResult:
    """A picture of detections (class, score, whether it is true) and of missed truths' classes, each far from the others."""
    places = [square(30 * index) for index in range(len(points) + len(missed))]
    found = [index for index, point in enumerate(points) if point[2]] + list(range(len(points), len(places)))
    labels = [point[0] for point in points]
    return result(places[: len(points)], [point[1] for point in points], [places[index] for index in found], labels, [(labels + missed)[k] for k in found])


def test_a_repair_changes_nothing_but_its_kind() -> None:
    # as in the paper: each detection is a point of the curve, a repair moves or takes away points and truths, and matches nothing anew
    results = [crowded(seed) for seed in range(6)]
    kinds = [error_kinds(each) for each in results]
    mean = lambda points, missed: confidence_curves([scene(points, missed)], 3).average_precision.mean()  # noqa: E731
    gains = {}
    for repaired in (None, *list(Kind)[2:]):
        points, missed = [], []
        for image, each in zip(results, kinds, strict=True):
            for label, score, kind, repair in zip(image.labels.tolist(), image.scores.tolist(), each.detections, each.repairs, strict=True):
                if kind == repaired and repair >= 0:
                    points.append((int(image.truth_labels[repair]), score, True))
                elif kind not in (repaired, Kind.UNCOUNTED):
                    points.append((label, score, kind == Kind.TRUE))
            lost = ~np.isin(each.truths, (Kind.UNCOUNTED, Kind.TRUE)) & ((each.truths != repaired) if repaired else True)
            missed += image.truth_labels[lost].tolist()
        gains[repaired] = mean(points, missed)
    expected = {kind.name.lower(): gain - gains[None] for kind, gain in gains.items() if kind is not None}
    assert ap_gains(results, 3) == pytest.approx(expected)
    assert all(gain > 0 for gain in expected.values())


def test_gains_are_undefined_where_nothing_is_left() -> None:
    missed = ap_gains([result([square(700)], [0.9], [square(0)])], 1)
    assert math.isnan(missed["missed"])
    assert missed["background"] == 0
    assert all(math.isnan(gain) for results in ([], [result([square(0)], [0.9], [])]) for gain in ap_gains(results, 1).values())


def test_empty_pictures() -> None:
    assert error_counts([result([], [], [square(0)]), result([square(0)], [0.9], []), result([], [], [])], 0.5) == {
        "true": 0, "classification": 0, "localisation": 0, "both": 0, "duplicate": 0, "background": 1, "missed": 1,
    }  # fmt: skip


def test_touching_vesicles() -> None:
    # a and b overlap, c is 1.9 px below b, d 2 px right of a; e is diagonal to d, (1.5, 1.5) px away and so 2.1; a region to ignore covers f
    a, b, c, d, e, f = square(0), square(-9), square(-9, 11.9), square(12), square(23.5, 11.5), square(300)
    image = result([a, c, d, f, b], [0.9, 0.8, 0.7, 0.6, 0.1], [a, b, c, d, e, f, [250, 0, 350, 50]], ignore=[False] * 6 + [True])
    assert touching([image], 0.5) == (3, pytest.approx(2 / 3))  # of a, b and c two; the weak detection of b does not count
    assert touching([image, image], 0.05) == (6, 1.0)
    assert touching([image], 0.05, gap_px=2.2) == (5, pytest.approx(4 / 5))
    assert touching([image], 0.05, gap_px=1.5) == (2, 1.0)


def test_one_box_over_two_vesicles_finds_one() -> None:
    assert touching([result([[0, 0, 16, 10]], [0.9], [square(0), square(6)])], 0.5) == (2, 0.5)
    number, found = touching([result([square(0)], [0.9], [square(0)]), result([], [], [])], 0.5)
    assert number == 0
    assert math.isnan(found)

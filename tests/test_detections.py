"""Detections validate themselves, and go to plain records and back."""

import numpy as np
import pytest

from exolight.detections import Detections


def make(count: int = 3, seed: int = 0) -> Detections:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, 200, (count, 2))
    boxes = np.concatenate((low, low + rng.uniform(5, 60, (count, 2))), axis=1).astype(np.float32)
    return Detections(boxes, rng.uniform(0, 1, count).astype(np.float32), rng.integers(0, 2, count))


def assert_equal(a: Detections, b: Detections) -> None:
    for name in ("boxes", "scores", "labels"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_records_round_trip(count: int) -> None:
    detections = make(count)
    records = detections.to_records(["exosome", "artefact"])
    assert len(records) == len(detections) == count
    assert all(type(record["x1"]) is float and type(record["class"]) is str for record in records)
    assert_equal(Detections.from_records(records, ["exosome", "artefact"]), detections)


def test_unknown_class_is_named() -> None:
    with pytest.raises(ValueError, match="debris"):
        Detections.from_records([{"x1": 0, "y1": 0, "x2": 1, "y2": 1, "score": 1.0, "class": "debris"}], ["exosome"])


def test_filter_above_concatenate() -> None:
    detections = make(6)
    assert (detections.above(0.5).scores >= 0.5).all()
    exactly = float(detections.scores[2])
    assert exactly in detections.above(exactly).scores  # "at least", as in Thresholds
    mask = detections.scores >= 0.5
    both = Detections.concatenate([detections.filter(mask), detections.filter(~mask)])
    np.testing.assert_array_equal(np.sort(both.scores), np.sort(detections.scores))
    assert_equal(Detections.concatenate([]), Detections.empty())
    assert_equal(Detections.concatenate([Detections.empty(), detections]), detections)


def test_diameter_is_the_root_of_the_area() -> None:
    detections = Detections(np.array([[10, 20, 14, 29]], np.float32), np.ones(1, np.float32), np.zeros(1, np.int64))
    assert detections.diameters_px.tolist() == [6.0]  # sqrt(4 * 9)
    assert Detections.empty().diameters_px.shape == (0,)


@pytest.mark.parametrize(
    ("boxes", "scores", "labels"),
    [
        (np.zeros((2, 4), np.float32), np.zeros(1, np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 5), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4), np.float64), np.zeros(2, np.float32), np.zeros(2, np.int64)),
        (np.zeros((2, 4), np.float32), np.zeros(2, np.float32), np.zeros(2, np.int32)),
        (np.full((1, 4), np.inf, np.float32), np.zeros(1, np.float32), np.zeros(1, np.int64)),
        (np.zeros((1, 4), np.float32), np.full(1, np.nan, np.float32), np.zeros(1, np.int64)),
    ],
)
def test_wrong_arrays_are_refused(boxes: np.ndarray, scores: np.ndarray, labels: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"must be|not finite"):
        Detections(boxes, scores, labels)


def test_mask_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match="mask"):
        make(3).filter(np.ones(2, bool))

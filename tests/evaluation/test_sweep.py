"""Curves over the threshold against numbers computed by hand."""

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.evaluation.records import ImageResult
from exolight.evaluation.sweep import threshold_sweep
from exolight.micrograph import Micrograph


def reader() -> Micrograph:
    raise AssertionError("curves need no pixels")


def square(x: float, side: float) -> list[float]:
    return [x, 5, x + side, 5 + side]


def picture(image_id: int, found: list[list[float]], scores: list[float], truth: list[list[float]], ignore: int = 0) -> tuple[ImageResult, AnnotatedImage]:
    """The last ``ignore`` truths count neither way."""
    boxes, truths = (np.array(rows, np.float32).reshape(-1, 4) for rows in (found, truth))
    flags, labels = np.arange(len(truths)) >= len(truths) - ignore, np.zeros(len(truths), np.int64)
    result = ImageResult(image_id, "", boxes, np.array(scores, np.float32), np.zeros(len(boxes), np.int64), truths, labels, flags)
    return result, AnnotatedImage("", reader, (200, 1000), truths, labels, flags, pixel_size_nm=2.0)


def test_by_hand() -> None:
    # true of 10 px at 0.9 and of 30 px at 0.4, false of 20 px at 0.6 and, at the border, at 0.3; one on a region to ignore; one truth is missed
    first, image = picture(0, [square(100, 10), square(200, 20), square(300, 30), square(0, 50)], [0.9, 0.6, 0.4, 0.3], [square(100, 10), square(300, 30)])
    second, other = picture(1, [square(500, 10)], [0.8], [square(700, 16), [490, 0, 530, 40]], ignore=1)
    sweep = threshold_sweep([first, second], [image, other])
    at = lambda threshold: int(np.abs(sweep.grid - threshold).argmin())  # noqa: E731
    for threshold, number, precision, recall, diameter in (
        (0.2, 2, 2 / 4, 2 / 3, 40),
        (0.35, 1.5, 2 / 3, 2 / 3, 40),
        (0.5, 1, 1 / 2, 1 / 3, 30),
        (0.9, 0.5, 1, 1 / 3, 20),
    ):
        found = [curve[at(threshold)] for curve in (sweep.number, sweep.precision, sweep.recall, sweep.diameter)]
        assert found == pytest.approx([number, precision, recall, diameter])
    assert np.isnan((sweep.precision[-1], sweep.diameter[-1])).all()
    assert (sweep.number[-1], sweep.recall[-1]) == (0, 0)
    assert (sweep.true_number, sweep.true_diameter, sweep.unit) == (1.5, 32, "nm")


def test_of_nothing() -> None:
    sweep = threshold_sweep([], [])
    assert all(np.isnan(curve).all() for curve in (sweep.number, sweep.precision, sweep.recall, sweep.diameter, sweep.true_number, sweep.true_diameter))
    assert sweep.unit == "px"
    alone, image = picture(0, [square(100, 10)], [0.5], [])
    sweep = threshold_sweep([alone], [image])
    assert np.isnan(sweep.recall).all()
    assert sweep.precision[0] == 0
    assert sweep.true_number == 0

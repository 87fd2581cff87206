"""Thresholds: impossible ones are refused in words."""

import dataclasses
import pickle

import pytest

from exolight.errors import InputError
from exolight.thresholds import Thresholds


def test_defaults_and_extremes_are_fine() -> None:
    assert Thresholds().score == 0.25
    Thresholds(score=0, iou=1, max_detections=1)
    plain = dataclasses.asdict(Thresholds(score=0.4))
    assert plain == {"score": 0.4, "iou": 0.45, "max_detections": 1000, "class_agnostic": False}
    assert Thresholds(**plain) == Thresholds(score=0.4)
    assert pickle.loads(pickle.dumps(Thresholds(score=0.4))) == Thresholds(score=0.4)


@pytest.mark.parametrize(
    ("name", "value"),
    [("score", -0.01), ("score", 25), ("score", float("nan")), ("score", "high"), ("score", None), ("score", True), ("iou", 1.5), ("iou", "0.5"),
     ("max_detections", 0), ("max_detections", 2.5), ("max_detections", "many")],
)  # fmt: skip
def test_impossible_ones_are_refused_by_name(name: str, value: object) -> None:
    with pytest.raises(InputError, match=rf"thresholds\.{name}={value}") as raised:
        Thresholds(**{name: value})
    assert "\n" not in str(raised.value)


def test_they_do_not_change() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Thresholds().score = 0.5

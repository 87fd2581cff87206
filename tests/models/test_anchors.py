"""Anchors: how well they cover a data set, and that fitting covers it better without moving tiny objects to coarse grids."""

import warnings

import numpy as np
import pytest
import torch

from exolight.models.anchors import DEFAULT_ANCHORS, best_possible_recall, default_anchors, fit_anchors

DEFAULT = torch.tensor(default_anchors((8, 16, 32)), dtype=torch.float32)


def objects(median: float, spread: float, count: int = 300, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    side = rng.lognormal(np.log(median), spread, count)
    return np.stack((side, side * rng.uniform(0.7, 1.4, count)), axis=1)


def test_recall_by_hand() -> None:
    """Within a factor of 4, exclusive, in width AND in height."""
    anchors = torch.tensor([[[10.0, 20.0]], [[100.0, 100.0]]])
    sizes = np.array([[10, 20], [39.9, 20], [40, 20], [2.6, 5.1], [2.5, 20], [39, 79], [10, 81], [300, 30], [390, 20]])
    expected = [True, True, True, True, False, True, False, True, False]
    # 40 x 20 is 4 times the first's width, but the second's 100 x 100 is 2.5 and 5 times: no; 300 x 30 matches the second.
    expected[2] = False
    assert [best_possible_recall(size[None], anchors) == 1 for size in sizes] == expected
    assert best_possible_recall(sizes, anchors) == pytest.approx(sum(expected) / 9)


def test_no_objects_miss_nothing() -> None:
    assert best_possible_recall(np.zeros((0, 2)), DEFAULT) == 1
    assert torch.equal(fit_anchors(np.zeros((0, 2)), DEFAULT), DEFAULT)


@pytest.mark.parametrize(("median", "spread"), [(2.5, 0.3), (3.0, 0.8), (700.0, 0.6), (15.0, 1.6)])
def test_fitting_raises_recall(median: float, spread: float) -> None:
    sizes = objects(median, spread)
    before, fitted = best_possible_recall(sizes, DEFAULT), fit_anchors(sizes, DEFAULT)
    assert before < 0.99
    assert best_possible_recall(sizes, fitted) > before
    assert fitted.shape == DEFAULT.shape
    assert fitted.dtype == DEFAULT.dtype


def test_recall_becomes_nearly_perfect() -> None:
    sizes = objects(2.5, 0.3)
    assert best_possible_recall(sizes, DEFAULT) < 0.6
    assert best_possible_recall(sizes, fit_anchors(sizes, DEFAULT)) > 0.98


def test_tiny_objects_stay_on_the_fine_level() -> None:
    fitted = fit_anchors(objects(5, 0.3), DEFAULT)
    assert torch.equal(fitted[1:], DEFAULT[1:])
    assert fitted[0].max() < 12
    assert len(fitted[0].unique(dim=0)) == 3


@pytest.mark.parametrize("strides", [(8, 16, 32), (4, 8, 16, 32)])
def test_levels_keep_their_order(strides: tuple[int, ...]) -> None:
    """Of all sizes at once: each level's shapes are larger than those of the finer ones, and ordered by area."""
    start = torch.tensor(default_anchors(strides), dtype=torch.float32)
    fitted = fit_anchors(objects(40, 1.2, 3000), start)
    area = fitted.prod(dim=2)
    assert not torch.equal(fitted, start)
    assert (area.diff(dim=1) >= 0).all()
    assert (area.mean(dim=1).diff() > 0).all()


def test_few_objects_do_not_move_a_level() -> None:
    sizes = np.concatenate((objects(10, 0.2, 200), objects(300, 0.1, 29)))
    fitted = fit_anchors(sizes, DEFAULT)
    assert torch.equal(fitted[2], DEFAULT[2])
    assert not torch.equal(fitted[0], DEFAULT[0])


def test_fitting_is_deterministic_and_forgets_the_order() -> None:
    sizes = objects(20, 0.9)
    first = fit_anchors(sizes, DEFAULT)
    assert torch.equal(first, fit_anchors(sizes.copy(), DEFAULT))
    torch.testing.assert_close(first, fit_anchors(sizes[::-1], DEFAULT))


def test_objects_of_one_single_shape() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        fitted = fit_anchors(np.full((50, 2), 7.0), DEFAULT)
    assert fitted.isfinite().all()
    assert (fitted > 0).all()
    assert best_possible_recall(np.full((50, 2), 7.0), fitted) == 1


def test_width_and_height_are_not_swapped() -> None:
    sizes = objects(12, 0.2) * [1.5, 0.5]
    assert (fit_anchors(sizes, DEFAULT)[0, :, 0] > fit_anchors(sizes, DEFAULT)[0, :, 1]).all()


def test_published_anchors() -> None:
    assert default_anchors((8, 16)) == [[[10, 13], [16, 30], [33, 23]], [[30, 61], [62, 45], [59, 119]]]
    assert default_anchors((128,)) == [[[16 * w, 16 * h] for w, h in DEFAULT_ANCHORS[8]]]

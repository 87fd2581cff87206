"""What of a picture was not analysed, tinted and told."""

import numpy as np
import pytest

from exolight.figures.quality import SHARE, TINT, shade, stamp


def test_the_masked_part_is_tinted_and_the_rest_is_as_it_was() -> None:
    canvas = np.full((40, 60, 3), 100, np.uint8)
    mask = np.zeros((4, 6), bool)
    mask[:, 4:] = True
    assert shade(canvas, mask) is canvas
    assert (canvas[:, :40] == 100).all()
    assert (canvas[:, 40:] == [int(100 * (1 - SHARE) + colour * SHARE) for colour in TINT]).all()
    before = canvas.copy()
    assert (shade(canvas, None) == before).all()


@pytest.mark.parametrize("hw", [(300, 500), (60, 80), (2000, 1500)])
def test_words_lie_on_a_dark_strip_within_the_picture(hw: tuple[int, int]) -> None:
    canvas = stamp(np.full((*hw, 3), 200, np.uint8), "not analysable: out of focus: a blur of 12.3 nm (standard deviation)")
    written = (canvas != 200).any(axis=2)
    rows = np.flatnonzero(written.all(axis=1))
    assert rows[0] == 0
    assert len(rows) < hw[0] / 4
    assert not written[len(rows) :].any()
    letters = np.flatnonzero((canvas[: len(rows), :, 0] > 150).any(axis=0))
    assert letters[0] < 0.1 * hw[1]
    assert letters[-1] < hw[1] - 1

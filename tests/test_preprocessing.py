"""Grey values that nothing burned in can shift, and a way back to image pixels that is exact."""

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from exolight.preprocessing import FIELD_STEP, PADDING_GREY, Placement, grey_range, letterbox_factor, normalise, pad, place, rescale


def micrograph(dtype: type = np.uint8, hw: tuple[int, int] = (300, 420), seed: int = 0) -> NDArray[np.generic]:
    """Grain on a slope with some dark discs, in the middle of the dtype's range."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: hw[0], : hw[1]]
    grey = 120 + 15 * x / hw[1] + rng.normal(0, 12, hw)
    for _ in range(8):
        cx, cy, r = rng.uniform(0, hw[1]), rng.uniform(0, hw[0]), rng.uniform(8, 20)
        grey -= 35 * ((x - cx) ** 2 + (y - cy) ** 2 < r * r)
    if dtype == np.uint8:
        return np.clip(grey, 0, 255).astype(np.uint8)
    return (grey * 37 + 1000).astype(dtype)


def burned_in(pixels: NDArray[np.generic], what: str) -> tuple[NDArray[np.generic], NDArray[np.bool_]]:
    """The picture with something that no microscope recorded, and where it shows none of it."""
    low, high = (0.0, 1e6) if pixels.dtype.kind == "f" else (0, np.iinfo(pixels.dtype).max)
    made, height = pixels.copy(), pixels.shape[0]
    if what == "black strip with white letters":
        made[height - 60 :] = low
        letters = np.zeros((60, pixels.shape[1]), np.uint8)
        cv2.putText(letters, "100 nm  HV 80 kV", (10, 40), cv2.FONT_HERSHEY_SIMPLEX, 1.0, 255, 2)
        made[height - 60 :][letters > 127] = high
    elif what == "white bar":
        made[height - 30 : height - 20, 20:160] = high
    elif what == "white frame":
        made[height - 40 :] = high
    elif what == "letters over the specimen":
        letters = np.zeros(pixels.shape, np.uint8)
        cv2.putText(letters, "EV 12", (20, 60), cv2.FONT_HERSHEY_SIMPLEX, 2.0, 255, 4)
        made[letters > 127] = high
    elif what == "black corner":
        made[height - 90 :, :200] = low
    return made, made == pixels


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("what", ["black strip with white letters", "white bar", "white frame", "black corner", "letters over the specimen"])
def test_burned_in_things_do_not_shift_the_greys(what: str, dtype: type) -> None:
    """What is left of the specimen is stretched as if nothing else were there, though letters and strip are more than 0.5 % of the picture."""
    made, specimen = burned_in(micrograph(dtype), what)
    assert 0.6 < specimen.mean() < 0.99
    low, high = np.percentile(made[specimen], (0.5, 99.5))
    expected = np.clip((made[specimen] - low) * (255 / (high - low)), 0, 255)
    assert np.abs(normalise(made)[specimen] - expected).max() <= 3.5  # one level of 8 bits is 2.8 here
    assert expected.std() > 20


def test_the_range_is_that_of_the_percentiles() -> None:
    pixels = np.arange(10_000, dtype=np.uint16).reshape(100, 100)
    assert grey_range(pixels) == pytest.approx((50, 9950), abs=2)
    made = normalise(pixels)
    assert made[0, 0] == 0
    assert made[-1, -1] == 255
    assert made[50, 0] == pytest.approx(127.5, abs=1.5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
def test_depth_does_not_matter(dtype: type) -> None:
    eight = micrograph(np.uint8)
    scaled = eight.astype(dtype) * {np.uint8: 1, np.uint16: 257, np.float32: 0.001}[dtype]
    assert np.abs(normalise(scaled.astype(dtype)).astype(int) - normalise(eight)).max() <= 1


def test_sixteen_bits_neither_wrap_nor_saturate() -> None:
    """A brighter pixel never becomes darker, over the whole range; most values stay apart."""
    pixels = np.linspace(0, 65535, 256 * 300).astype(np.uint16).reshape(256, 300)
    made = normalise(pixels).ravel()
    assert (np.diff(made.astype(int)) >= 0).all()
    assert len(np.unique(made)) == 256
    high = (micrograph(np.uint16).astype(np.int64) + 55_000).clip(0, 65535).astype(np.uint16)
    assert np.abs(normalise(high).astype(int) - normalise(micrograph(np.uint16))).max() <= 1


def test_inverted_picture_becomes_the_inverted_one() -> None:
    pixels = micrograph(np.uint8)
    assert np.abs(normalise(255 - pixels).astype(int) - (255 - normalise(pixels).astype(int))).max() <= 2


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.float32])
@pytest.mark.parametrize("hw", [(1, 1), (1, 7), (9, 1), (40, 60)])
def test_constant_and_tiny_pictures(hw: tuple[int, int], dtype: type) -> None:
    made = normalise(np.full(hw, 7, dtype=dtype))
    assert made.shape == hw
    assert made.dtype == np.uint8
    assert (made == 128).all()
    spot = np.full(hw, 7, dtype=dtype)
    spot[-1, -1] = 9
    assert normalise(spot).shape == hw


def test_drawing_with_two_greys_uses_the_whole_range() -> None:
    pixels = np.full((100, 150), 40, dtype=np.uint8)
    pixels[20:60, 30:100] = 90
    assert set(np.unique(normalise(pixels))) == {0, 255}


def test_normalise_leaves_its_argument_and_takes_any_layout() -> None:
    pixels = micrograph(np.uint16)
    pixels.setflags(write=False)
    expected = normalise(pixels)
    np.testing.assert_array_equal(normalise(np.asfortranarray(pixels)), expected)
    np.testing.assert_array_equal(normalise(pixels[::-1, ::-1])[::-1, ::-1], normalise(np.ascontiguousarray(pixels[::-1, ::-1]))[::-1, ::-1])
    eight = micrograph(np.uint8)
    np.testing.assert_array_equal(normalise(np.asfortranarray(eight)), normalise(eight))


def test_whole_picture_first_then_tiles() -> None:
    """Reading of a float picture's percentiles from every k-th pixel does not miss its range."""
    pixels = micrograph(np.float32, (1200, 1100))
    low, high = grey_range(pixels)
    np.testing.assert_allclose((low, high), np.percentile(pixels, (0.5, 99.5)), rtol=0.01)


@pytest.mark.parametrize("hw", [(300, 420), (420, 300), (31, 997), (997, 31), (64, 64), (1, 500), (129, 128)])
@pytest.mark.parametrize("size", [64, 128])
def test_letterbox_fits_and_comes_back(hw: tuple[int, int], size: int) -> None:
    field, placement = place(np.full(hw, 200, np.uint8), size)
    assert field.shape == (size, size)
    rows, columns = np.nonzero(field == 200)
    inside = placement.to_input(np.array([[0, 0, hw[1], hw[0]]], np.float32))
    np.testing.assert_allclose(inside, [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], atol=1e-4)
    assert max(np.ptp(rows), np.ptp(columns)) + 1 == size
    assert set(np.unique(field)) <= {PADDING_GREY, 200}
    boxes = np.random.default_rng(0).uniform(0, max(hw), (50, 4)).astype(np.float32)
    np.testing.assert_allclose(placement.to_image(placement.to_input(boxes)), boxes, atol=2e-3)


@pytest.mark.parametrize("factor", [0.31, 0.5, 1.0, 1.7])
@pytest.mark.parametrize("hw", [(90, 140), (140, 90), (30, 40)])
def test_factor_sets_the_scale_and_a_large_picture_gets_a_larger_field(hw: tuple[int, int], factor: float) -> None:
    field, placement = place(np.full(hw, 200, np.uint8), 96, factor)
    for axis, (side, scale) in enumerate(zip(hw, (placement.scale_y, placement.scale_x), strict=True)):
        assert scale == pytest.approx(factor, abs=0.5 / side)
        scaled = round(side * factor)
        assert field.shape[axis] == (96 if scaled <= 96 else -(-scaled // FIELD_STEP) * FIELD_STEP)
    rows, columns = np.nonzero(field == 200)
    inside = placement.to_input(np.array([[0, 0, hw[1], hw[0]]], np.float32))
    np.testing.assert_allclose(inside, [[columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]], atol=1e-4)


def test_a_spot_is_found_where_its_box_goes() -> None:
    """The picture and its boxes take the same way: the centre of mass of a bright disc against the centre of its box."""
    pixels = np.zeros((150, 260), np.uint8)
    y, x = np.mgrid[:150, :260] + 0.5
    pixels[(x - 200) ** 2 + (y - 40) ** 2 < 15**2] = 255
    for size, factor in ((128, None), (128, 0.4), (512, 1.6)):
        field, placement = place(pixels, size, factor)
        weight = field.astype(float) * (field != PADDING_GREY)
        rows, columns = np.mgrid[: field.shape[0], : field.shape[1]] + 0.5
        found = np.array([(weight * columns).sum(), (weight * rows).sum()]) / weight.sum()
        box = placement.to_input(np.array([[185, 25, 215, 55]], np.float32))[0]
        np.testing.assert_allclose(found, (box[:2] + box[2:]) / 2, atol=0.3)


def test_placement_by_hand() -> None:
    placement = Placement(2.0, 3.0, 10.0, 20.0)
    box = np.array([[1, 2, 5, 6]], np.float32)
    assert placement.to_input(box).tolist() == [[12, 26, 20, 38]]
    assert placement.to_image(np.array([[12, 26, 20, 38]], np.float32)).tolist() == box.tolist()
    assert placement.to_image(np.zeros((0, 4), np.float32)).shape == (0, 4)


def test_pieces_by_hand() -> None:
    assert letterbox_factor((200, 100), 50) == 0.25
    assert letterbox_factor((100, 400), 50) == 0.125
    image, placement = rescale(np.zeros((100, 33), np.uint8), 0.25)
    assert image.shape == (25, 8)
    assert placement == (8 / 33, 0.25, 0, 0)
    same = np.zeros((10, 20), np.uint8)
    assert rescale(same, 1.0)[0] is same
    field, left, top = pad(np.zeros((3, 6), np.uint8), (10, 9))
    assert (field == 0).nonzero()[0].min() == top == 3
    assert (field == 0).nonzero()[1].min() == left == 1
    with pytest.raises(ValueError, match="does not fit"):
        pad(np.zeros((11, 6), np.uint8), (10, 9))

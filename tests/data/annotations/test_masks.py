"""Instance masks: boxes are the extent of an object's pixels; what does not fit together is refused."""

from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from PIL import Image

from exolight.data.annotations import read_masks
from exolight.data.annotations.masks import objects_in_mask, outline
from exolight.errors import InputError

HW = (40, 70)


def example() -> np.ndarray:
    """Three objects: 7 a rectangle at the corner, 300 in two pieces, 301 touching it; 2, 8, ... are not used."""
    mask = np.zeros(HW, np.uint16)
    mask[30:40, 60:70] = 7
    mask[5:15, 10:30] = 300
    mask[20, 50] = 300
    mask[15:18, 10:12] = 301
    return mask


BOXES = [[60, 30, 70, 40], [10, 5, 51, 21], [10, 15, 12, 18]]


def write(root: Path, name: str, mask: np.ndarray, picture_hw: tuple[int, int] = HW, mask_suffix: str = ".png") -> None:
    for folder in ("images", "masks"):
        (root / folder / name).parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.zeros(picture_hw, np.uint8)).save(root / "images" / f"{name}.png")
    target = root / "masks" / f"{name}{mask_suffix}"
    if mask_suffix == ".png":
        Image.fromarray(mask).save(target)
    else:
        tifffile.imwrite(target, mask)


def refused(root: Path, *parts: str) -> str:
    with pytest.raises(InputError) as error:
        read_masks(root)
    message = str(error.value)
    assert "\n" not in message
    for part in parts:
        assert part in message
    return message


@pytest.mark.parametrize("suffix", [".png", ".tif"])
@pytest.mark.parametrize("name", ["Proença (1)", "12_µm", "a/b/exo, 2"])
def test_boxes_by_hand_under_any_name(tmp_path: Path, name: str, suffix: str) -> None:
    write(tmp_path, name, example(), mask_suffix=suffix)
    images, names = read_masks(tmp_path, class_name="vesicle", pixel_size_nm=1.5)
    (image,) = images
    np.testing.assert_array_equal(image.boxes, BOXES)
    assert names == ["vesicle"]
    assert image.name == f"images/{name}.png"
    assert image.labels.tolist() == [0, 0, 0]
    assert not image.ignore.any()
    assert (image.image_hw, image.group, image.pixel_size_nm) == (HW, None, 1.5)
    assert (image.read().pixels.shape, image.read().pixel_size_nm) == (HW, 1.5)


@pytest.mark.parametrize("dtype", ["uint8", "uint16", "int16", "uint32", "int32", "int64"])
def test_any_integer_type_gives_the_same(dtype: str) -> None:
    mask = example()
    values = {7: 1, 300: 100, 301: 101}
    if np.dtype(dtype).itemsize > 2:
        values = {7: 1, 300: 70_000, 301: 2_000_000_000}
    small = np.zeros(HW, dtype)
    for old, new in values.items():
        small[mask == old] = new
    np.testing.assert_array_equal(objects_in_mask(small)[0], BOXES)
    if np.issubdtype(small.dtype, np.signedinteger):
        small[mask == 7] = -1
        np.testing.assert_array_equal(objects_in_mask(small)[0], BOXES)


def test_empty_mask_and_roboflow_siblings(tmp_path: Path) -> None:
    write(tmp_path, "a_png.rf.0123abc", np.zeros(HW, np.uint8))
    write(tmp_path, "a_png.rf.4567def", example())
    first, second = read_masks(tmp_path).images
    assert first.boxes.shape == (0, 4)
    assert first.outlines == ()
    assert first.group == second.group == "a_png"


def test_a_palette_mask_gives_its_indices(tmp_path: Path) -> None:
    write(tmp_path, "a", np.zeros(HW, np.uint8))
    mask = Image.fromarray((example() % 255).astype(np.uint8), "L").convert("P")
    mask.putpalette(np.random.default_rng(0).integers(0, 255, 768).astype(np.uint8).tobytes())
    mask.save(tmp_path / "masks" / "a.png")
    np.testing.assert_array_equal(sorted(read_masks(tmp_path).images[0].boxes.tolist()), sorted(BOXES))


def test_outlines_follow_the_outer_corners_of_the_largest_piece() -> None:
    boxes, outlines = objects_in_mask(example())
    for box, points in zip(boxes, outlines, strict=True):
        assert points.dtype == np.float32
        assert (points >= box[:2]).all()
        assert (points <= box[2:]).all()
    corners = {tuple(point) for point in outlines[1].tolist()}
    assert corners == {(10, 5), (30, 5), (30, 15), (10, 15)}  # not the single pixel elsewhere
    assert cv2.contourArea(outline(np.ones((1, 1), bool))) == 1


@pytest.mark.parametrize("radius", [10, 40])
def test_the_area_in_an_outline_is_the_area_of_the_object(radius: float) -> None:
    y, x = np.mgrid[:90, :120] + 0.5
    disc = (x - 60) ** 2 + (y - 45) ** 2 < radius**2
    assert cv2.contourArea(outline(disc)) == pytest.approx(disc.sum(), rel=0.015)


def test_what_does_not_fit_is_refused(tmp_path: Path) -> None:
    assert "images/ and masks/" in refused(tmp_path, "no such folder")
    write(tmp_path, "µ 1", example(), picture_hw=(70, 40))
    refused(tmp_path, "µ 1.png", "70 x 40 px", "40 x 70 px", "same size")
    write(tmp_path, "µ 1", example())
    (tmp_path / "masks" / "orphan.png").write_bytes((tmp_path / "masks" / "µ 1.png").read_bytes())
    refused(tmp_path, "orphan.png", "annotation of a picture that does not exist", "remove the mask")
    (tmp_path / "masks" / "orphan.png").unlink()
    Image.fromarray(np.zeros(HW, np.uint8)).save(tmp_path / "images" / "lonely.png")
    refused(tmp_path, "lonely.png", "no mask", "add it")
    (tmp_path / "masks" / "lonely.png").write_bytes(b"\x89PNG\r\n\x1a\n rubbish")
    refused(tmp_path, "lonely.png", ";")
    (tmp_path / "masks" / "lonely.png").write_bytes((tmp_path / "masks" / "µ 1.png").read_bytes()[:60])
    refused(tmp_path, "lonely.png", "export the mask again")


def test_all_problems_are_gathered(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(30):
        write(tmp_path, f"p{number:02}", example(), picture_hw=(70, 40))
    assert "p00.png" in refused(tmp_path, "and 29 more")
    assert len(caplog.records) == 20


def test_colour_float_and_stacked_masks_are_refused(tmp_path: Path) -> None:
    write(tmp_path, "a", np.stack([example().astype(np.uint8)] * 3, axis=-1))
    refused(tmp_path, "a.png", "colour mask", "save it as")
    (tmp_path / "masks" / "a.png").unlink()
    write(tmp_path, "a", example().astype(np.float32), mask_suffix=".tif")
    refused(tmp_path, "a.tif", "float32", "16-bit")
    tifffile.imwrite(tmp_path / "masks" / "a.tif", np.stack([example()] * 2), photometric="minisblack")
    refused(tmp_path, "a.tif", "2 pages")


def test_black_and_white_masks_are_warned_about(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in "ab":
        write(tmp_path, name, (example() > 0).astype(np.uint8) * 255)
    assert len(read_masks(tmp_path).images) == 2
    assert "a number for each object" in caplog.text


def test_emps(real_data: Path) -> None:
    images, names = read_masks(real_data / "emps")
    assert (len(images), sum(len(image.boxes) for image in images), names) == (366, 8927, ["particle"])
    for image in images:
        height, width = image.image_hw
        assert (image.boxes[:, :2] >= 0).all()
        assert (image.boxes[:, 2:] <= [width, height]).all()
        assert (image.boxes[:, 2:] > image.boxes[:, :2]).all()


def test_exosomes(real_data: Path) -> None:
    images, _ = read_masks(real_data / "exosomes", class_name="exosome", pixel_size_nm=3.84)
    counts = {Path(image.name).stem: len(image.boxes) for image in images}
    assert (len(counts), sum(counts.values()), counts["patch_17"]) == (8, 24, 0)

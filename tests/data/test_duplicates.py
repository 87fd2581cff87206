"""Equal and similar pictures are found however they were turned, resized or exported, unrelated ones are not, and the cache never lies or fails."""

import functools
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from exolight.annotated_image import AnnotatedImage
from exolight.data import fingerprints as module
from exolight.data.annotations.pictures import annotated_picture
from exolight.data.duplicates import Likeness, Similar, alike, check_leaks
from exolight.data.fingerprints import Fingerprint, fingerprint, fingerprints
from exolight.data.splits import Split
from exolight.errors import InputError
from exolight.micrograph import Micrograph

Pixels = NDArray[np.uint8]
NONE = np.zeros((0, 4), np.float32)


def field(seed: int, hw: tuple[int, int] = (300, 360)) -> Pixels:
    """Grain over drifting brightness, and rings: a picture like none of another seed."""
    rng = np.random.default_rng(seed)
    height, width = hw
    drift = cv2.resize(rng.normal(0, 20, (4, 4)), (width, height), interpolation=cv2.INTER_CUBIC)
    picture = 130 + drift + 15 * cv2.GaussianBlur(rng.normal(0, 3, hw), (0, 0), 2)
    for x, y, radius in zip(rng.integers(0, width, 12), rng.integers(0, height, 12), rng.integers(6, 25, 12), strict=True):
        cv2.circle(picture, (int(x), int(y)), int(radius), 210.0, 3)
    return np.clip(picture, 0, 255).astype(np.uint8)


def burned(picture: Pixels) -> Pixels:
    """With the bar and the letters that a microscope leaves in the same place of every picture."""
    marked, (height, width) = picture.copy(), picture.shape
    cv2.rectangle(marked, (width - 120, height - 25), (width - 15, height - 18), 255, -1)
    cv2.putText(marked, "200 nm", (width - 110, height - 32), cv2.FONT_HERSHEY_SIMPLEX, 0.8, 255, 2)
    return marked


def likeness(a: NDArray[np.generic], b: NDArray[np.generic]) -> Likeness | None:
    found = alike([fingerprint(a), fingerprint(b)], [0, 1])
    assert len(found) <= 1
    return found[0].likeness if found else None


def jpeg(picture: Pixels) -> Pixels:
    decoded = cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)
    assert decoded is not None
    return np.asarray(decoded, np.uint8)


SYMMETRIES: list[Callable[[Pixels], NDArray[np.generic]]] = [functools.partial(np.rot90, k=k) for k in (1, 2, 3)] + [
    lambda p: p[::-1], lambda p: p[:, ::-1], lambda p: p.T, lambda p: np.rot90(p, 2).T
]  # fmt: skip
EXPORTS: list[Callable[[Pixels], NDArray[np.generic]]] = [
    jpeg,
    lambda p: cv2.resize(p, (180, 150), interpolation=cv2.INTER_AREA),
    lambda p: cv2.resize(p, (1440, 1200)),
    lambda p: p.astype(np.uint16) * 200 + 7,
    lambda p: (p / 255.0).astype(np.float32) ** 0.6,
    lambda p: 255 - p,
    lambda p: p[5:, :-4],
]


@pytest.mark.parametrize("changed", [*SYMMETRIES, *EXPORTS])
def test_a_copy_is_recognised_and_a_stranger_is_not(changed: Callable[[Pixels], NDArray[np.generic]]) -> None:
    for seed in range(3):
        assert likeness(field(seed), changed(field(seed))) is Likeness.COPY
        assert likeness(field(seed), changed(field(seed + 50))) is None


def test_equal_pixels_are_equal_whatever_file_they_are_in(tmp_path: Path) -> None:
    pixels = field(1)
    cv2.imwrite(str(tmp_path / "a.png"), pixels)
    cv2.imwrite(str(tmp_path / "b.bmp"), pixels)
    tifffile.imwrite(tmp_path / "c.tif", pixels, compression="zlib")
    tifffile.imwrite(tmp_path / "d.tif", pixels.reshape(360, 300))
    prints = fingerprints([annotated(path) for path in sorted(tmp_path.iterdir())])
    same = [pair for pair in alike(prints, "abcd") if pair.likeness is Likeness.SAME]
    assert same == [Similar(0, 1, Likeness.SAME), Similar(0, 2, Likeness.SAME)]


@pytest.mark.parametrize("marks", [np.asarray, burned])
def test_fields_that_overlap_are_found_in_spite_of_burned_in_marks(marks: Callable[[Pixels], Pixels]) -> None:
    large = field(3, (900, 900))
    here = marks(large[100:500, 100:500])
    for dy, dx in ((20, 0), (0, 60), (-50, 100), (100, 100)):
        assert likeness(here, marks(large[100 + dy : 500 + dy, 100 + dx : 500 + dx])) is Likeness.OVERLAP, (dy, dx)
    assert likeness(here, marks(large[500:900, 500:900])) is None
    assert likeness(here, marks(field(4, (400, 400)))) is None


def test_unrelated_fields_with_the_same_marks_are_not_alike() -> None:
    prints = [fingerprint(burned(field(seed))) for seed in range(40)]
    assert alike(prints, range(40)) == []


def test_owners_and_the_search_for_overlap() -> None:
    large = field(5, (600, 600))
    prints: list[Fingerprint | None] = [fingerprint(p) for p in (large[:400, :400], large[40:440, 60:460], large[:400, :400].T, field(6), large[:400, :400])]
    prints[3] = None
    copies, overlapping, same = ((0, 2), (2, 4)), ((0, 1), (1, 4)), (0, 4)
    kinds = {pair[:2]: pair.likeness for pair in alike(prints, range(5))}
    assert kinds == dict.fromkeys(copies, Likeness.COPY) | dict.fromkeys(overlapping, Likeness.OVERLAP) | {same: Likeness.SAME}
    assert {pair[:2] for pair in alike(prints, range(5), most_pairs=4)} == {*copies, same}
    assert alike(prints, [0] * 5) == [Similar(0, 4, Likeness.SAME)]  # equal ones are told even of one owner
    assert {pair[:2] for pair in alike(prints, ["a", "a", "b", "b", "a"])} == {*copies, same}
    assert alike([None, None], [0, 1]) == alike([], []) == []


def test_blank_pictures_are_like_none() -> None:
    blank = [fingerprint(np.full((350, 410), value, np.uint8)) for value in (9, 9, 77)]
    assert all(each.blank for each in blank)
    assert not fingerprint(field(0)).blank
    assert alike(blank, range(3)) == []


def test_a_large_field_is_what_its_small_copy_is() -> None:
    small = fingerprint(field(7)).thumbnail.astype(int)
    large = fingerprint(cv2.resize(field(7), (2880, 2400), interpolation=cv2.INTER_NEAREST).astype(np.uint16) * 100).thumbnail.astype(int)
    assert np.abs(large - small).mean() < 8  # of 256 ranks


# Leaks between the parts of a split ------------------------------------------------------------------------------------------------------------------------


def annotated(path: Path) -> AnnotatedImage:
    return annotated_picture(path, path.parent, (300, 360), NONE, [])


def written(folder: Path, pictures: dict[str, Pixels]) -> dict[str, AnnotatedImage]:
    folder.mkdir(exist_ok=True)
    for name, pixels in pictures.items():
        cv2.imwrite(str(folder / name), pixels)
    return {name: annotated(folder / name) for name in pictures}


def test_the_same_picture_in_two_parts_is_an_error_that_names_both(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = written(tmp_path, {"a.png": field(0), "b.png": field(1), "c.bmp": field(0), "d.bmp": field(1), "e.png": field(2)})
    with pytest.raises(InputError) as raised:
        check_leaks(Split([images["a.png"], images["b.png"]], [images["c.bmp"], images["e.png"]], [images["d.bmp"]]))
    assert "a.png (train) and c.bmp (val) are the same picture (and 1 more such pair, logged above); remove one" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert "b.png (train) and d.bmp (test)" in caplog.text


def test_what_is_in_one_part_is_no_leak(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = written(tmp_path, {"a.png": field(0), "b.png": field(0), "c.png": field(0).T.copy(), "d.png": field(1)})
    check_leaks(Split([images["a.png"], images["b.png"], images["c.png"]], [images["d.png"]], []))
    check_leaks(Split(list(images.values()), [], []))
    assert not caplog.records


def test_similar_pictures_are_a_warning_that_names_a_few_pairs(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    large = field(9, (500, 500))
    pictures = {f"{k}.png": field(k) for k in range(3)} | {f"turned {k}.png": np.ascontiguousarray(np.rot90(field(k))) for k in range(3)}
    images = written(tmp_path, pictures | {"8.png": large[:400, :400], "shifted.png": large[50:450, 80:480]})
    moved = [name for name in images if name.startswith(("turned", "shifted"))]
    check_leaks(Split([images[name] for name in images if name not in moved], [], [images[name] for name in moved]))
    (record,) = caplog.records
    message = record.getMessage()
    assert "4 pairs of pictures in different parts look alike (0.png (train) and turned 0.png (test); 1.png (train)" in message
    assert "; and 1 more)" in message
    assert "data.group" in message
    caplog.clear()
    check_leaks(Split([images["8.png"]], [images["shifted.png"]], []))
    assert "1 pair of pictures" in caplog.text
    assert "8.png (train) and shifted.png (val), overlapping fields)" in caplog.text


def test_pictures_without_a_file_and_unreadable_ones_are_passed_over(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    def never() -> Micrograph:
        raise AssertionError("simulated pictures are exempt")

    simulated = AnnotatedImage("simulated", never, (300, 360), NONE, np.zeros(0, np.int64), np.zeros(0, bool))
    (tmp_path / "cut.png").write_bytes(cv2.imencode(".png", field(0))[1].tobytes()[:5000])
    stack = np.stack([field(1), field(2)])
    tifffile.imwrite(tmp_path / "stack.tif", stack, photometric="minisblack")
    cut, first, gone = annotated(tmp_path / "cut.png"), annotated(tmp_path / "stack.tif"), annotated(tmp_path / "gone.png")
    prints = fingerprints([simulated, cut, first, gone])
    assert [each is None for each in prints] == [True, True, False, True]
    assert prints[2] is not None
    assert prints[2].digest == fingerprint(field(1)).digest
    check_leaks(Split([simulated, cut], [first], [gone]))
    assert not caplog.records  # that it is a stack is said when it is read for good
    logging.getLogger("exolight.x").warning("heard again")
    assert "heard again" in caplog.text


# The cache -------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Counts the pictures looked at; every data set is worth a cache."""
    shapes: list[int] = []
    original = module.fingerprint

    def counted(pixels: NDArray[np.generic]) -> Fingerprint:
        shapes.append(pixels.size)
        return original(pixels)

    monkeypatch.setattr(module, "fingerprint", counted)
    monkeypatch.setattr(module, "CACHED_FROM_PX", 1)
    return shapes


def equal(a: Sequence[Fingerprint | None], b: Sequence[Fingerprint | None]) -> bool:
    return all(x is not None and y is not None and x.digest == y.digest and (x.thumbnail == y.thumbnail).all() for x, y in zip(a, b, strict=True))


def test_files_are_read_once_and_again_when_they_change(tmp_path: Path, read: list[int]) -> None:
    images = list(written(tmp_path / "data µ", {"a.png": field(0), "b, c.png": field(1), "d.png": field(2)}).values())
    first = fingerprints(images, tmp_path / "cache")
    assert len(read) == 3
    again = fingerprints(images[::-1], tmp_path / "cache")
    assert len(read) == 3
    assert equal(again[::-1], first)
    fingerprints(images[:1], tmp_path / "cache")
    assert len(read) == 3
    cv2.imwrite(str(tmp_path / "data µ" / "a.png"), field(5))
    os.utime(tmp_path / "data µ" / "a.png", (time.time() + 5, time.time() + 5))
    changed = fingerprints(images, tmp_path / "cache")
    assert len(read) == 4
    assert equal(changed, [fingerprint(field(seed)) for seed in (5, 1, 2)])
    (store,) = (tmp_path / "cache").iterdir()
    with np.load(store) as arrays:
        assert len(arrays["keys"]) == 3  # what the changed file was is forgotten


def test_without_a_cache_or_for_few_pixels_nothing_is_written(tmp_path: Path, read: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    images = list(written(tmp_path / "data", {"a.png": field(0), "b.png": field(1)}).values())
    monkeypatch.chdir(tmp_path)
    fingerprints(images)
    monkeypatch.setattr(module, "CACHED_FROM_PX", 2 * 300 * 360 + 1)
    fingerprints(images, tmp_path / "cache")
    assert [path.name for path in tmp_path.iterdir()] == ["data"]
    assert len(read) == 4


@pytest.mark.parametrize("damage", ["rubbish", "cut", "empty", "folder"])
def test_a_damaged_cache_is_made_again(damage: str, tmp_path: Path, read: list[int]) -> None:
    images = list(written(tmp_path / "data", {"a.png": field(0), "b.png": field(1)}).values())
    first = fingerprints(images, tmp_path / "cache")
    (store,) = (tmp_path / "cache").iterdir()
    content = store.read_bytes()
    store.unlink()
    if damage == "folder":
        store.mkdir()
    else:
        store.write_bytes({"rubbish": b"no archive at all", "cut": content[: len(content) // 2], "empty": b""}[damage])
    assert equal(fingerprints(images, tmp_path / "cache"), first)
    assert len(read) == 4
    assert equal(fingerprints(images, tmp_path / "cache"), first)
    assert len(read) == (6 if damage == "folder" else 4)


def test_a_cache_that_cannot_be_written_is_no_reason_to_stop(tmp_path: Path, read: list[int]) -> None:
    images = list(written(tmp_path / "data", {"a.png": field(0)}).values())
    (tmp_path / "file").write_text("in the way")
    assert equal(fingerprints(images, tmp_path / "file"), [fingerprint(field(0))])
    assert equal(fingerprints(images, tmp_path / "file" / "below"), [fingerprint(field(0))])
    assert (tmp_path / "file").read_text() == "in the way"


def test_real_pictures(real_data: Path) -> None:
    """120 of EMPS, with their bars and letters, are unlike each other; of the exosome patches six were cut from three fields, overlapping by 40 % and more."""
    paths = [*sorted((real_data / "emps" / "images").glob("*.png"))[::3], *sorted((real_data / "exosomes" / "images").glob("*.png"))]
    prints = fingerprints([annotated(path) for path in paths])
    found = [(paths[i].stem, paths[j].stem, kind) for i, j, kind in alike(prints, range(len(prints)))]
    pairs = [("patch_10", "patch_13"), ("patch_12", "patch_14"), ("patch_17", "patch_21")]
    assert found == [(*pair, Likeness.OVERLAP) for pair in pairs]

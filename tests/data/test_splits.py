"""Splits: nothing twice, nothing torn apart, the same whatever order the pictures come in, and written lists give the split again."""

import logging
import unicodedata
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.data.annotations import read_masks
from exolight.data.splits import Split, regroup, split_images, write_split
from exolight.errors import InputError
from exolight.micrograph import Micrograph


def picture(name: str, group: str | None = None, objects: int = 0, ignored: int = 0) -> AnnotatedImage:
    boxes, ignore = np.tile(np.array([0, 0, 1, 1], np.float32), (objects + ignored, 1)), np.arange(objects + ignored) >= objects
    return AnnotatedImage(name, lambda: Micrograph(np.zeros((2, 3))), (2, 3), boxes, np.zeros(len(boxes), np.int64), ignore, group=group)


def pictures(count: int) -> list[AnnotatedImage]:
    return [picture(f"images/{number:03}.png") for number in range(count)]


def names(split: Split) -> list[list[str]]:
    return [[image.name for image in part] for part in split]


def refused(images: Sequence[AnnotatedImage], split: Any, root: Path, *parts: str) -> None:
    with pytest.raises(InputError) as error:
        split_images(images, split, 0, root)
    assert "\n" not in str(error.value)
    for part in parts:
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("split", "counts"),
    [("standard", (70, 15, 15)), ("case_study", (20, 10, 70)), ({"train": 0.8, "val": 0.2}, (80, 20, 0)), ("all", (100, 0, 0)), ({"train": 1}, (100, 0, 0))],
)
def test_fractions_are_met_and_nothing_is_lost(split: Any, counts: tuple[int, int, int]) -> None:
    images = pictures(100)
    found = names(split_images(images, split, seed=3))
    assert tuple(map(len, found)) == counts
    assert sorted(name for part in found for name in part) == [image.name for image in images]


def test_the_seed_decides_and_the_order_of_files_does_not() -> None:
    images = pictures(40)
    shuffled = [images[index] for index in np.random.default_rng(1).permutation(40)]
    assert names(split_images(images, "standard", 5)) == names(split_images(shuffled, "standard", 5))
    assert names(split_images(images, "standard", 5)) != names(split_images(images, "standard", 6))


@pytest.mark.parametrize("seed", range(10))
def test_groups_are_kept_whole(seed: int) -> None:
    rng = np.random.default_rng(seed)
    images = [picture(f"{number}.png", f"donor {rng.integers(12)}" if number % 3 else None) for number in range(90)]
    split = split_images(images, "standard", seed)
    groups = [{image.group for image in part} - {None} for part in split]
    assert not groups[0] & groups[1]
    assert not groups[0] & groups[2]
    assert not groups[1] & groups[2]
    assert sum(map(len, split)) == 90
    assert all(split)


@pytest.mark.parametrize("seed", range(10))
def test_every_part_gets_its_share_of_empty_sparse_and_crowded_pictures(seed: int) -> None:
    """200 pictures, half of them empty, the rest with 1 to 100 objects: by chance alone the validation part's mean would be off by 4.6 of 25 (one SD)."""
    images = [picture(f"{number:03}.png", objects=max(number - 99, 0), ignored=number % 3) for number in range(200)]
    split = split_images(images, "standard", seed)
    assert [len(part) for part in split] == [140, 30, 30]
    counts = [np.array([int((~image.ignore).sum()) for image in part]) for part in split]
    for part in counts:
        assert abs((part == 0).mean() - 0.5) < 0.05
        assert abs(part.mean() - 25.25) < 2.5
        assert abs((part > 50).mean() - 0.25) < 0.05
    assert names(split) != names(split_images(images, "standard", seed + 100))


def test_groups_are_dealt_by_their_objects_per_picture() -> None:
    """24 donors of 1 to 4 pictures, with 5, 20 or 80 vesicles each: over 100 seeds the mean of validation deviates less than that of donors drawn."""
    images = [picture(f"{donor:02}_{k}.png", f"donor {donor}", (5, 20, 80)[donor % 3]) for donor in range(24) for k in range(donor % 4 + 1)]
    counts, donors = np.array([len(image.boxes) for image in images]), np.array([int(image.name[:2]) for image in images])
    drawn, dealt = [], []
    for seed in range(100):
        split = split_images(images, {"train": 0.5, "val": 0.25, "test": 0.25}, seed)
        dealt.append(np.mean([len(image.boxes) for image in split.val]) - counts.mean())
        drawn.append(counts[np.isin(donors, np.random.default_rng(seed).permutation(24)[:6])].mean() - counts.mean())
        assert all(abs(len(part) - share * 60) <= 4 for part, share in zip(split, (0.5, 0.25, 0.25), strict=True))
    assert np.std(dealt) < 0.75 * np.std(drawn)
    assert abs(np.mean(dealt)) < 2  # of 35


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        ("(donor[0-9]+)", ["donor1", "donor1", "donor2", "dataset", None]),
        ("donor[0-9]+_[a-z]", ["donor1_a", "donor1_b", "donor2_a", "dataset", None]),
        ("(donor).*_(a)", ["donor a", "dataset", "donor a", "dataset", None]),
        ("folder", ["s1", "s2/deep", "s2", ".", "."]),
        ("^s1/|^x", ["s1/", "dataset", "dataset", "x", None]),
    ],
)
def test_groups_by_name(group: str, expected: list[str | None], caplog: pytest.LogCaptureFixture) -> None:
    images = [picture(name, "dataset") for name in ("s1/donor1_a.tif", "s2/deep/donor1_b.tif", "s2/donor2_a.tif", "x.tif")] + [picture("other.tif")]
    assert [image.group for image in regroup(images, group)] == expected
    assert [image.name for image in regroup(images, group)] == [image.name for image in images]
    assert ("does not match" in caplog.text) == (group != "folder")


def test_a_group_of_the_users_choice_is_kept_whole(tmp_path: Path) -> None:
    images = [picture(f"donor{number % 9}_{number:02}.png") for number in range(45)]
    split = split_images(images, "standard", 4, group="donor[0-9]")
    donors = [{image.name[:6] for image in part} for part in split]
    assert sum(map(len, donors)) == 9
    assert all(image.group == image.name[:6] for part in split for image in part)
    with pytest.raises(InputError, match=r"donor0_00\.png and donor0_09\.png are of one group \(donor0\) and in both train and val"):
        split_images(images, {"train": ["donor0_00"], "val": ["donor0_09"]}, 0, tmp_path, "donor[0-9]")


def test_copies_of_one_picture_have_one_group_whatever_is_asked() -> None:
    """The hash of Roboflow's names is left out, so that no expression takes it for a donor's number."""
    siblings = [picture("a_7_png.rf.0a1b.png", "a_7_png"), picture("a_7_png.rf.9c9d.png", "a_7_png"), picture("a_8_png.rf.1e.png", "a_8_png")]
    assert [image.group for image in regroup(siblings, "[0-9]+.*$")] == ["7_png.png", "7_png.png", "8_png.png"]
    apart = [picture("train/a_png.rf.01.png", "a_png"), picture("valid/a_png.rf.02.png", "a_png")]
    with pytest.raises(InputError, match=r"train/a_png\.rf\.01\.png and valid/a_png\.rf\.02\.png, copies of one picture, into different groups"):
        regroup(apart, "folder")


@pytest.mark.parametrize(
    ("group", "said"), [("(donor", "no regular expression"), ("grid[0-9]", "matches not one of 3 names, such as images/000.png"), ("", "not one")]
)
def test_a_group_that_groups_nothing_is_refused(group: str, said: str) -> None:
    with pytest.raises(InputError, match=f"data.group=.*{said}") as raised:
        split_images(pictures(3), "standard", 0, group=group)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("count", [3, 4, 5, 7])
def test_no_part_stays_empty_where_there_are_enough(count: int) -> None:
    for seed in range(5):
        assert all(split_images(pictures(count), {"train": 0.96, "val": 0.02, "test": 0.02}, seed))


def test_too_few_pictures_train_first(caplog: pytest.LogCaptureFixture) -> None:
    assert [len(part) for part in split_images(pictures(2), "case_study", 0)] == [1, 1, 0]
    assert "too few" in caplog.text


@pytest.mark.parametrize("split", ["standard", "case_study", "all"])
def test_written_lists_give_the_split_again(tmp_path: Path, split: str) -> None:
    hostile = ("Proença (1).tif", "12_µm.tif", "exo, 2.tif", "a/1.png", "b/1.png", " space.png", "# 4.png", "run=3.png", "x\u2028y.png")
    images = [picture(name) for name in hostile]
    written = split_images(images, split, 1)
    write_split(written, tmp_path / "run")
    again = split_images(images, {part: f"run/{part}.txt" for part in ("train", "val", "test")}, 2, tmp_path)
    assert names(again) == names(written)


def test_lists_by_name_stem_and_value(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    images = [*pictures(6), picture("images/Proença.tif")]
    (tmp_path / "train.txt").write_text("\ufeff000\r\nimages/001\n\n002.png\n./images/003.png\n000\n", encoding="utf-8")
    with caplog.at_level(logging.INFO):
        split = split_images(images, {"train": "train.txt", "valid": [unicodedata.normalize("NFD", "Proença"), "images\\005.png"]}, 0, tmp_path)
    assert names(split) == [[f"images/{number:03}.png" for number in range(4)], ["images/005.png", "images/Proença.tif"], []]
    assert "1 of 7 pictures are in no part" in caplog.text


def test_folders(tmp_path: Path) -> None:
    images = [picture(f"{part}/images/{number}.png") for part in ("train", "valid", "test", "other") for number in range(2)]
    expected = [[f"{part}/images/{number}.png" for number in range(2)] for part in ("train", "valid", "test")]
    assert names(split_images(images, "folders", 0)) == expected
    assert names(split_images(images, {"train": "train", "val": "valid/images", "test": "test/"}, 0)) == expected
    leave_one_out = split_images(images, {"train": ["train", "other"], "val": "valid"}, 0)
    assert [len(part) for part in leave_one_out] == [4, 2, 0]
    refused(pictures(3), "folders", tmp_path, "no picture lies in a folder train")
    refused([picture("train/a.png")], "folders", tmp_path, "folder val or valid")


def test_overlap_is_refused(tmp_path: Path) -> None:
    refused(pictures(3), {"train": ["000", "001"], "val": ["001"]}, tmp_path, "images/001.png is in both train and val", "keep it in one")
    siblings = [picture("train/a_jpg.rf.01.png", "a_jpg"), picture("valid/a_jpg.rf.02.png", "a_jpg")]
    for split in ("folders", {"train": ["a_jpg.rf.01"], "val": ["a_jpg.rf.02"]}):
        refused(siblings, split, tmp_path, "train/a_jpg.rf.01.png", "valid/a_jpg.rf.02.png", "one group (a_jpg)", "keep them in one")


@pytest.mark.parametrize(
    ("split", "parts"),
    [
        ("standart", ("'standart'", "case_study")),
        ({"train": 0.7, "val": 0.2}, ("sum to 0.9",)),
        ({"train": 1.2, "val": -0.2}, ("none negative",)),
        ({"train": float("nan")}, ("sum to nan",)),
        ({"train": 0.5, "val": "val.txt"}, ("can be",)),
        ({"training": 1.0}, ("training", "can be")),
        ({"val": "val.txt"}, ("can be",)),
        ({}, ("can be",)),
        ({"train": "missing.txt"}, ("missing.txt", "check data.split")),
        ({"train": "train.txt"}, ("train.txt:3", "gone.png", "correct or remove the line")),
        ({"train": ["000", "gone"]}, ("data.split.train", "gone", "correct the name")),
        ({"train": "empty.txt"}, ("empty.txt", "at least one")),
        ({"train": [1, 2]}, ("data.split.train", "list of names")),
        ({"train": True}, ("data.split.train", "list of names")),
    ],
)
def test_wrong_splits_are_refused(tmp_path: Path, split: Any, parts: tuple[str, ...]) -> None:
    (tmp_path / "train.txt").write_text("000\n\ngone.png\n")
    (tmp_path / "empty.txt").write_text("")
    refused(pictures(3), split, tmp_path, *parts)


def test_an_ambiguous_name_is_refused(tmp_path: Path) -> None:
    images = [picture("dataset_01/05.tif"), picture("dataset_02/05.tif")]
    refused(images, {"train": ["05"]}, tmp_path, "05 means 2 pictures", "dataset_02/05.tif", "whole name")


def test_the_lists_of_emps(real_data: Path) -> None:
    root = real_data / "emps"
    split = split_images(read_masks(root).images, {"train": "train.txt", "val": "val.txt"}, 0, root)
    assert [len(part) for part in split] == [293, 73, 0]

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
from exolight.data.splits import Split, split_images, write_split
from exolight.errors import InputError
from exolight.micrograph import Micrograph


def picture(name: str, group: str | None = None) -> AnnotatedImage:
    empty = np.zeros((0, 4), np.float32)
    return AnnotatedImage(name, lambda: Micrograph(np.zeros((2, 3))), (2, 3), empty, np.zeros(0, np.int64), np.zeros(0, np.bool_), group=group)


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

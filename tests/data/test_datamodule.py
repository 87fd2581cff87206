"""The data module: splits become loaders that drop nothing they should not, in the shapes asked for."""

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.annotations import read_masks
from exolight.data.augmentation import Augmentation
from exolight.data.datamodule import DetectionDataModule
from exolight.data.sample import Batch
from exolight.errors import InputError
from exolight.micrograph import Micrograph
from exolight.simulation.source import simulate

POOL = simulate(count=12, image_hw=(96, 128), pixel_size_nm=2.0)


def first(count: int) -> Callable[[], AnnotationSet]:
    return lambda: AnnotationSet(POOL.images[:count], POOL.class_names)


def made(source: Callable[[], AnnotationSet] | None = None, **arguments: Any) -> DetectionDataModule:
    choices = {"image_size": 96, "batch_size": 4, "num_workers": 0, "epochs": 5, "seed": 1} | arguments
    data = DetectionDataModule(source or first(12), Augmentation(mosaic=1.0, close_mosaic=1), **choices)
    data.setup("fit")
    return data


def test_parts_become_loaders() -> None:
    data = made(split={"train": 0.5, "val": 0.25, "test": 0.25})
    assert [len(data.datasets[part]) for part in ("train", "val", "test")] == [6, 3, 3]
    assert data.class_names == ["exosome"]
    train = list(data.train_dataloader())
    assert [tuple(batch.images.shape) for batch in train] == [(4, 1, 96, 96), (2, 1, 96, 96)]
    val = next(iter(data.val_dataloader()))
    assert val.indices.tolist() == [0, 1, 2]
    assert (val.placements[:, 0] == 0.75).all()
    assert (val.image_hw == torch.tensor([96, 128])).all()
    assert len(list(data.test_dataloader())) == 1
    names = [{image.name for image in data.datasets[part].images} for part in ("train", "val", "test")]
    assert len(set.union(*names)) == 12


def test_training_is_augmented_and_evaluation_is_not() -> None:
    data = made(split={"train": 0.5, "val": 0.5})
    loader, evaluation = data.train_dataloader(), data.val_dataloader()
    assert not torch.equal(next(iter(loader)).images, next(iter(loader)).images)
    assert torch.equal(next(iter(evaluation)).images, next(iter(evaluation)).images)


def speckled(index: int, epoch: int) -> AnnotatedImage:
    pixels = np.random.default_rng((index, epoch)).integers(0, 255, (48, 64), dtype=np.uint8)
    box, label, ignore = np.array([[8, 8, 40, 40]], np.float32), np.zeros(1, np.int64), np.zeros(1, bool)
    return AnnotatedImage(f"{index}", functools.partial(Micrograph, pixels), (48, 64), box, label, ignore, fresh=functools.partial(speckled, index))


def test_only_training_pictures_are_fresh() -> None:
    """Two epochs of each part, with and without workers: training never repeats a picture, evaluation repeats the listed ones."""
    listed = [speckled(index, 99) for index in range(6)]

    def parts(workers: int) -> list[list[Batch]]:
        source, split = lambda: AnnotationSet(listed, ["speckle"]), {"train": 0.5, "val": 0.5}
        data = DetectionDataModule(source, Augmentation(), split=split, image_size=64, batch_size=3, num_workers=workers)
        data.setup("fit")
        assert [len(data.datasets[part]._cache) for part in ("train", "val")] == [0, 3]
        return [[batch for _ in range(2) for batch in loader] for loader in (data.train_dataloader(), data.val_dataloader())]

    train, val = parts(0)
    assert len({picture.numpy().tobytes() for batch in train for picture in batch.images}) == 6
    assert torch.equal(val[0].images, val[1].images)
    for alone, together in zip((train, val), parts(2), strict=True):
        for a, b in zip(alone, together, strict=True):
            assert all(torch.equal(left, right) for left, right in zip(a, b, strict=True))


def test_setup_does_its_work_once() -> None:
    calls = []

    def source() -> AnnotationSet:
        calls.append(1)
        return POOL

    data = made(source)
    before = data.datasets["train"]
    data.setup("test")
    assert len(calls) == 1
    assert data.datasets["train"] is before


def test_everything_trains() -> None:
    data = made(split="all")
    assert len(data.datasets["train"]) == 12
    assert data.val_dataloader() == data.test_dataloader() == []
    seen = [index for batch in data.train_dataloader() for index in batch.indices.tolist()]
    assert sorted(seen) == list(range(12))


@pytest.mark.parametrize(
    ("pictures", "batch_size", "expected"),
    # Only a lone last picture is dropped, and not where it is the only one.
    [(8, 16, [8]), (12, 4, [4, 4, 4]), (9, 4, [4, 4]), (10, 4, [4, 4, 2]), (1, 4, [1]), (5, 5, [5]), (3, 1, [1, 1, 1]), (3, 2, [2]), (6, 5, [5])],
)
def test_batches(pictures: int, batch_size: int, expected: list[int]) -> None:
    data = made(first(pictures), split="all", batch_size=batch_size)
    loader = data.train_dataloader()
    assert [len(batch.images) for batch in loader] == expected
    assert len(loader) == len(expected)


def test_evaluation_drops_nothing() -> None:
    data = made(first(9), split={"train": 4 / 9, "val": 5 / 9}, batch_size=4)
    assert [len(batch.images) for batch in data.val_dataloader()] == [4, 1]


def test_no_training_pictures() -> None:
    data = made(split={"val": 1.0})
    with pytest.raises(InputError, match="training part has no pictures"):
        data.train_dataloader()


@pytest.mark.parametrize("arguments", [{"image_size": 16}, {"batch_size": 0}, {"num_workers": -1}])
def test_impossible_sizes_are_refused_by_name(arguments: dict[str, int]) -> None:
    with pytest.raises(InputError, match=f"data.{next(iter(arguments))}={next(iter(arguments.values()))}"):
        made(**arguments)


def test_colour_networks_get_three_equal_channels() -> None:
    batch = next(iter(made(split="all", in_chans=3).train_dataloader()))
    assert batch.images.shape == (4, 3, 96, 96)
    assert torch.equal(batch.images[:, 0], batch.images[:, 2])


@pytest.mark.parametrize("target_nm_per_pixel", [1.0, 4.0])
def test_pixel_size_rescales_all_parts(target_nm_per_pixel: float) -> None:
    """2 nm pictures of 96 x 128 px: twice the size in fields of 64 px steps for evaluation, windows of the input's size for training; or half."""
    data = made(split={"train": 0.5, "val": 0.5}, target_nm_per_pixel=target_nm_per_pixel)
    train, val = next(iter(data.train_dataloader())), next(iter(data.val_dataloader()))
    assert train.images.shape[2:] == (96, 96)
    assert val.images.shape[2:] == ((192, 256) if target_nm_per_pixel == 1.0 else (96, 96))
    assert (val.placements[:, :2] == 2 / target_nm_per_pixel).all()
    known = np.concatenate([(i.boxes[:, 2:] - i.boxes[:, :2])[~i.ignore] for i in data.datasets["train"].images])
    np.testing.assert_allclose(data.object_sizes(), known * (2 / target_nm_per_pixel), rtol=1e-5)


def test_epochs_differ_and_go_on_where_a_run_stopped() -> None:
    whole, resumed = made(split="all"), made(split="all")
    loader = whole.train_dataloader()
    epochs = [torch.cat([batch.images for batch in loader]) for _ in range(3)]
    assert not torch.equal(epochs[0], epochs[1])
    resumed.load_state_dict({"first_epoch": 2})
    assert resumed.state_dict() == {"first_epoch": 2}
    assert torch.equal(torch.cat([batch.images for batch in resumed.train_dataloader()]), epochs[2])


def test_workers_give_the_same_batches() -> None:
    """Two epochs each, so that workers that were not told the epoch would repeat the first."""
    alone, together = (made(first(6), split="all", num_workers=workers).train_dataloader() for workers in (0, 2))
    for _ in range(2):
        for a, b in zip(alone, together, strict=True):
            assert all(torch.equal(left, right) for left, right in zip(a, b, strict=True))


def test_split_is_written_as_lists_that_give_it_again(tmp_path: Path) -> None:
    data = made(split={"train": 0.5, "val": 0.25, "test": 0.25})
    data.write_split(tmp_path)
    again = made(split={part: f"{part}.txt" for part in ("train", "val", "test")}, root=tmp_path, seed=99)
    for part in ("train", "val", "test"):
        assert [i.name for i in again.datasets[part].images] == [i.name for i in data.datasets[part].images]


def micrographs(folder: Path, count: int) -> None:
    """``count`` pictures of grain, a donor every other, in the layout of masks."""
    for name in ("images", "masks"):
        (folder / name).mkdir()
    for k in range(count):
        mask = np.zeros((64, 90), np.uint8)
        mask[10:30, 20:60] = 1
        cv2.imwrite(str(folder / "masks" / f"donor{k // 2}_{k}.png"), mask)
        grain = np.random.default_rng(k).normal(90, 20, mask.shape) + 50 * mask
        cv2.imwrite(str(folder / "images" / f"donor{k // 2}_{k}.png"), np.clip(grain, 0, 255).astype(np.uint8))


def test_groups_of_the_users_choice_reach_split_and_pictures(tmp_path: Path) -> None:
    micrographs(tmp_path, 8)
    source = functools.partial(read_masks, root=tmp_path)
    data = made(source, split={"train": 0.5, "val": 0.5}, group="donor[0-9]")
    groups = [{image.group for image in part} for part in data.split]
    assert groups[0] | groups[1] == {f"donor{k}" for k in range(4)}
    assert not groups[0] & groups[1]
    assert [len(part) for part in data.split] == [4, 4, 0]
    assert {i.group for i in made(source, split="all", group=2).datasets["train"].images} == {"2", None}  # digits, which Hydra takes for a number


def test_the_same_picture_on_both_sides_is_refused_before_training(tmp_path: Path) -> None:
    micrographs(tmp_path, 4)
    for name in ("images", "masks"):
        (tmp_path / name / "copy.png").write_bytes((tmp_path / name / "donor0_0.png").read_bytes())
    source = functools.partial(read_masks, root=tmp_path)
    with pytest.raises(InputError, match=r"images/donor0_0\.png \(train\) and images/copy\.png \(val\) are the same picture"):
        made(source, split={"train": ["donor0_0", "donor0_1"], "val": ["copy"]})
    assert len(made(source, split={"train": ["donor0_0", "copy"], "val": ["donor1_2"]}).split.train) == 2


def test_tiny_objects_are_counted_aloud(caplog: pytest.LogCaptureFixture) -> None:
    made(split="all", target_nm_per_pixel=20.0)
    assert "narrower than 3 px" in caplog.text
    caplog.clear()
    made(split="all", target_nm_per_pixel=1.0)
    assert "narrower" not in caplog.text


def test_masks_and_a_picture_that_nobody_can_read(tmp_path: Path) -> None:
    for folder in ("images", "masks"):
        (tmp_path / folder).mkdir()
    rng = np.random.default_rng(0)
    for name in ("a", "b", "c"):
        mask = np.zeros((64, 90), np.uint8)
        mask[10:30, 20:60] = 1
        mask[40:50, 5:15] = 2
        cv2.imwrite(str(tmp_path / "masks" / f"{name}.png"), mask)
        cv2.imwrite(str(tmp_path / "images" / f"{name}.png"), (rng.normal(90, 9, mask.shape) + 50 * (mask > 0)).astype(np.uint8))
    source = functools.partial(read_masks, root=tmp_path)
    data = made(source, split="all")
    assert len(data.object_sizes()) == 6
    batch = next(iter(made(source, split={"train": ["a"], "val": ["b", "c"]}).val_dataloader()))
    np.testing.assert_allclose(batch.targets[:2, 4:] * 90, [[40, 20], [10, 10]], atol=0.1)
    whole = (tmp_path / "images" / "b.png").read_bytes()
    (tmp_path / "images" / "b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"b\.png") as raised:
        made(source, split="all")
    assert "\n" not in str(raised.value)

"""Samples and batches: objects stay where they were drawn on the way to the network and back, and order is a function of seed and epoch."""

import dataclasses
import functools
import itertools
import pickle
from collections.abc import Callable
from pathlib import Path

import albumentations
import cv2
import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader

from exolight.annotated_image import AnnotatedImage
from exolight.data.augmentation import Augmentation
from exolight.data.dataset import DetectionDataset, EpochSampler, ShardSampler
from exolight.data.sample import Batch, Sample, collate
from exolight.errors import InputError
from exolight.micrograph import Micrograph, read_micrograph
from exolight.preprocessing import PADDING_GREY, Placement, normalise, place
from exolight.simulation.source import simulate


def drawn(hw: tuple[int, int], seed: int, dtype: type = np.uint8, nm: float | None = 2.0) -> AnnotatedImage:
    """Grain with three bright rectangles of whole pixels, so that their boxes are exact; the last one is to be ignored."""
    rng = np.random.default_rng(seed)
    pixels = rng.normal(100, 10, hw)
    boxes = []
    for _ in range(3):
        x, y, w, h = rng.integers(0, hw[1] - 30), rng.integers(0, hw[0] - 20), rng.integers(8, 30), rng.integers(8, 20)
        pixels[y : y + h, x : x + w] += 60
        boxes.append((x, y, x + w, y + h))
    picture = (pixels * (200 if dtype == np.uint16 else 1)).astype(dtype)
    return AnnotatedImage(
        name=f"{seed}.png",
        reader=functools.partial(Micrograph, picture, nm),
        image_hw=hw,
        boxes=np.array(boxes, np.float32),
        labels=np.array([0, 1, 0]),
        ignore=np.array([False, False, True]),
        pixel_size_nm=nm,
    )


SIZES = [(96, 128), (128, 60), (70, 70), (33, 201)]
IMAGES = [drawn(hw, i, np.uint16 if i % 2 else np.uint8) for i, hw in enumerate(SIZES)]
STRONG = Augmentation(
    {"flip": albumentations.D4(p=1), "affine": albumentations.Affine(scale=(0.5, 1.5), rotate=(-180, 180), fill=PADDING_GREY, p=1)},
    {"noise": albumentations.GaussNoise(p=0.5), "brightness": albumentations.RandomBrightnessContrast(p=0.5)},
    mosaic=0.5,
    close_mosaic=2,
    mixup=0.3,
)


def renewed(seed: int, epoch: int) -> AnnotatedImage:
    """A picture whose size and nm per pixel change from epoch to epoch, too."""
    return drawn((48 + 8 * epoch, 64), 100 * seed + epoch, nm=2.0 + epoch)


def refused(epoch: int) -> AnnotatedImage:
    raise AssertionError("nobody may ask for a fresh picture here")


def unread() -> Micrograph:
    raise AssertionError("nobody may read the listed picture here")


STREAMED = [dataclasses.replace(drawn((48, 64), i), reader=unread, fresh=functools.partial(renewed, i)) for i in (1, 2, 3)]


def back(batch: Batch, rows: torch.Tensor) -> list[np.ndarray]:
    """Targets of a batch as boxes in pixels of each picture as recorded, by way of the placements."""
    height, width = batch.images.shape[2:]
    boxes = []
    for i in range(len(batch.images)):
        own = rows[rows[:, 0] == i, 2:].double().numpy() * [width, height, width, height]
        corners = np.concatenate((own[:, :2] - own[:, 2:] / 2, own[:, :2] + own[:, 2:] / 2), axis=1)
        boxes.append(Placement(*batch.placements[i].tolist()).to_image(corners))
    return boxes


@pytest.mark.parametrize("pixel_size_nm", [None, 3.1, 1.2])
def test_targets_come_back_to_the_annotated_boxes(pixel_size_nm: float | None) -> None:
    """Letterboxed; shrunk by the scale; and enlarged by it, beyond the input's size, so that fields differ and are padded."""
    dataset = DetectionDataset(IMAGES, 128, target_nm_per_pixel=pixel_size_nm)
    batch = collate([dataset[i] for i in range(len(IMAGES))])
    if pixel_size_nm == 1.2:
        assert batch.images.shape[3] > 256
    for image, targets, ignored in zip(IMAGES, back(batch, batch.targets), back(batch, batch.ignored), strict=True):
        np.testing.assert_allclose(targets, image.boxes[~image.ignore], atol=0.01)
        np.testing.assert_allclose(ignored, image.boxes[image.ignore], atol=0.01)
    assert batch.image_hw.tolist() == [list(hw) for hw in SIZES]
    assert batch.indices.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("pixel_size_nm", [None, 3.1, 1.2])
def test_samples_are_placed_as_in_prediction(pixel_size_nm: float | None) -> None:
    """The scales are those that resizing to whole pixels really took: 33 x 201 px in 128 px is 21 rows, not 21.01."""
    dataset = DetectionDataset(IMAGES, 128, target_nm_per_pixel=pixel_size_nm)
    for i, image in enumerate(IMAGES):
        field, placement = place(normalise(image.read().pixels), 128, None if pixel_size_nm is None else 2.0 / pixel_size_nm)
        np.testing.assert_array_equal(dataset[i].image, field)
        assert dataset[i].placement == placement


def test_objects_are_bright_where_their_targets_are() -> None:
    """Not only the numbers: the pixels of the batch inside the targets are those of the objects."""
    dataset = DetectionDataset(IMAGES, 128)
    batch = collate([dataset[i] for i in range(len(IMAGES))])
    for row in torch.cat((batch.targets, batch.ignored)):
        picture = batch.images[int(row[0]), 0].numpy().astype(float)
        x, y, w, h = (row[2:] * 128).tolist()
        inside = picture[round(y - h / 2) : round(y + h / 2), round(x - w / 2) : round(x + w / 2)].mean()
        assert inside > picture[picture != PADDING_GREY].mean() + 20


def test_scale_is_that_of_the_wanted_pixel_size() -> None:
    dataset = DetectionDataset(IMAGES[:1], 64, target_nm_per_pixel=1.0)
    sample = dataset[0]
    assert sample.image.shape == (192, 256)  # 96 x 128 px at 2 nm, a field of its own
    assert sample.placement == Placement(2.0, 2.0)
    assert dataset.object_sizes().tolist() == [[2 * (b[2] - b[0]), 2 * (b[3] - b[1])] for b in IMAGES[0].boxes[:2].tolist()]
    small = DetectionDataset(IMAGES[:1], 64, target_nm_per_pixel=4.0)[0]
    assert small.image.shape == (64, 64)
    assert small.placement == Placement(0.5, 0.5, 0, 8)


def test_training_at_a_pixel_size_sees_windows_of_large_pictures() -> None:
    dataset = DetectionDataset(IMAGES[:1], 64, Augmentation(), target_nm_per_pixel=1.0)
    windows = [dataset[(epoch, 0)] for epoch in range(20)]
    assert all(w.image.shape == (64, 64) for w in windows)
    assert len({w.image.tobytes() for w in windows}) > 10
    for window in windows:
        for box in window.boxes[~window.ignore]:
            x1, y1, x2, y2 = box.round().astype(int)
            assert window.image[y1 + 2 : y2 - 2, x1 + 2 : x2 - 2].mean() > window.image.mean()


def test_unknown_pixel_size_is_said() -> None:
    dataset = DetectionDataset([drawn((64, 64), 5, nm=None)], 64, target_nm_per_pixel=2.0)
    with pytest.raises(InputError, match=r"5\.png: its nm per pixel is unknown"):
        dataset.load_all()


@pytest.mark.parametrize("augmentation", [None, STRONG])
def test_cache_changes_nothing(augmentation: Augmentation | None) -> None:
    cached, uncached = (DetectionDataset(IMAGES, 64, augmentation, seed=3, epochs=9, cache_gib=gib) for gib in (1.0, 0.0))
    cached.load_all()
    uncached.load_all()
    for epoch in (0, 8):
        for i in range(len(IMAGES)):
            assert_same(cached[(epoch, i)], uncached[(epoch, i)])


def test_cache_holds_pictures_and_none_beyond_its_size() -> None:
    reads = []

    def read(pixels: np.ndarray) -> Micrograph:
        reads.append(1)
        return Micrograph(pixels)

    pixels = np.random.default_rng(0).integers(0, 255, (64, 64), dtype=np.uint8)
    image = AnnotatedImage("a", functools.partial(read, pixels), (64, 64), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))
    for gib, expected in ((64 * 64 / 2**30, 1), (63 * 64 / 2**30, 3)):
        reads.clear()
        dataset = DetectionDataset([image], 64, cache_gib=gib)
        dataset.load_all()
        _ = dataset[0], dataset[0]
        assert len(reads) == expected


def assert_same(a: Sample, b: Sample) -> None:
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)


def test_a_sample_depends_on_seed_epoch_and_index_only() -> None:
    first, second = (DetectionDataset(IMAGES, 64, STRONG, seed=1, epochs=9) for _ in range(2))
    expected = [first[(epoch, i)] for epoch in range(3) for i in range(4)]
    for k in (11, 3, 7, 0):
        assert_same(second[(k // 4, k % 4)], expected[k])
    assert len({s.image.tobytes() for s in expected}) == 12
    other = DetectionDataset(IMAGES, 64, STRONG, seed=2, epochs=9)[(0, 0)]
    assert not np.array_equal(other.image, expected[0].image)


@pytest.mark.parametrize("streamed", [False, True])
def test_workers_change_nothing(streamed: bool) -> None:
    def batches(workers: int) -> list[Batch]:
        dataset = DetectionDataset([*STREAMED, IMAGES[0]] if streamed else IMAGES, 64, STRONG, seed=1, epochs=9)
        dataset.load_all()
        sampler = EpochSampler(4, seed=1)
        loader = DataLoader(dataset, 2, sampler=sampler, num_workers=workers, collate_fn=collate, persistent_workers=workers > 0)
        return [batch for _ in range(2) for batch in loader]

    alone, together = batches(0), batches(2)
    assert len(alone) == 4
    for a, b in zip(alone, together, strict=True):
        for left, right in zip(a, b, strict=True):
            assert torch.equal(left, right)


@pytest.mark.parametrize("images", [IMAGES, STREAMED], ids=["listed", "fresh"])
def test_it_travels_to_a_worker_as_windows_and_macos_send_it(images: list[AnnotatedImage]) -> None:
    dataset = DetectionDataset(images, 64, STRONG, seed=1, epochs=9)
    assert_same(pickle.loads(pickle.dumps(dataset))[(1, 2)], dataset[(1, 2)])


def test_training_sees_a_fresh_picture_in_every_epoch() -> None:
    """Without any augmentation a sample is the epoch's picture as evaluation would place it, at its own size and nm per pixel."""
    for pixel_size_nm in (None, 4.0):
        dataset = DetectionDataset(STREAMED, 64, Augmentation(), target_nm_per_pixel=pixel_size_nm)
        for epoch in range(3):
            expected = DetectionDataset([renewed(i, epoch) for i in (1, 2, 3)], 64, target_nm_per_pixel=pixel_size_nm)
            for i in range(3):
                found = dataset[(epoch, i)]
                np.testing.assert_array_equal(found.image, expected[i].image)
                np.testing.assert_allclose(found.boxes, expected[i].boxes, atol=0.01)
                np.testing.assert_array_equal(found.labels, expected[i].labels)
                np.testing.assert_array_equal(found.ignore, expected[i].ignore)
                assert (found.index, found.image_hw) == (i, (48 + 8 * epoch, 64))


def test_fresh_pictures_keep_their_outlines() -> None:
    """A turned diamond is narrower than a turned ellipse in the same box."""
    box, diamond = np.array([[8, 8, 40, 40]], np.float32), np.array([[24, 8], [40, 24], [24, 40], [8, 24]], np.float32)
    fixed = AnnotatedImage("a", functools.partial(Micrograph, np.eye(48, dtype=np.uint8)), (48, 48), box, np.zeros(1, np.int64), np.zeros(1, bool))
    outlined = dataclasses.replace(fixed, outlines=(diamond,))
    turn = Augmentation({"turn": albumentations.Affine(rotate=(45, 45), p=1)})
    found = DetectionDataset([dataclasses.replace(fixed, fresh=lambda _: outlined)], 48, turn)[(0, 0)]
    np.testing.assert_allclose(found.boxes[0, 2:] - found.boxes[0, :2], 32 / 2**0.5, atol=0.1)


def test_nothing_is_kept_of_fresh_pictures() -> None:
    dataset = DetectionDataset(STREAMED, 64, STRONG, epochs=9)
    dataset.load_all()
    for key in itertools.product(range(3), range(3)):
        _ = dataset[key]
    assert not dataset._cache
    assert not dataset._outlines


def test_evaluation_asks_for_no_fresh_picture() -> None:
    """Nor do the sizes of the objects, from which the anchors come."""
    images = [dataclasses.replace(image, fresh=refused) for image in IMAGES]
    dataset, plain = DetectionDataset(images, 64), DetectionDataset(IMAGES, 64)
    dataset.load_all()
    assert list(dataset._cache) == [0, 1, 2, 3]
    for i in range(len(images)):
        assert_same(dataset[(5, i)], plain[i])
    np.testing.assert_array_equal(DetectionDataset(images, 64, STRONG).object_sizes(), plain.object_sizes())


def test_fresh_pictures_join_those_that_stay() -> None:
    """Only the latter are read ahead and kept, under their own index."""
    images = [STREAMED[0], IMAGES[0], STREAMED[1], IMAGES[1]]
    cached, uncached = (DetectionDataset(images, 64, STRONG, seed=1, epochs=9, cache_gib=gib) for gib in (1.0, 0.0))
    cached.load_all()
    assert sorted(cached._cache) == [1, 3]
    for key in itertools.product(range(3), range(4)):
        assert_same(cached[key], uncached[key])
    assert set(cached._outlines) == {1, 3}
    plain = DetectionDataset(images, 64, Augmentation())
    assert np.array_equal(plain[(0, 1)].image, plain[(1, 1)].image)
    assert not np.array_equal(plain[(0, 0)].image, plain[(1, 0)].image)


def plain_grey(index: int, epoch: int) -> AnnotatedImage:
    """One grey that tells index and epoch."""
    pixels = np.full((64, 64), 30 + 20 * index + 80 * epoch, np.uint8)
    pixels[0, 0], pixels[0, 1] = 0, 255
    return AnnotatedImage(f"{index}", functools.partial(Micrograph, pixels), (64, 64), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool))


def test_a_mosaic_joins_fresh_pictures_of_one_epoch() -> None:
    images = [dataclasses.replace(plain_grey(i, 0), reader=unread, fresh=functools.partial(plain_grey, i)) for i in range(3)]
    dataset = DetectionDataset(images, 64, Augmentation(mosaic=1.0, mixup=0.0), epochs=9)
    for epoch in range(2):
        greys = [set(np.unique(dataset[(epoch, i)].image).tolist()) - {0, 255, PADDING_GREY} for i in range(3)]
        assert max(len(found) for found in greys) > 1
        assert set.union(*greys) == {30 + 20 * i + 80 * epoch for i in range(3)}


def test_each_fresh_picture_is_made_for_the_sample_once() -> None:
    """Drawing is what costs: the picture that is wanted is not drawn a second time for its size."""
    made = []

    def fresh(epoch: int) -> AnnotatedImage:
        made.append(epoch)
        return renewed(1, epoch)

    _ = DetectionDataset([dataclasses.replace(STREAMED[0], fresh=fresh)], 64, Augmentation())[(2, 0)]
    assert made == [2]


def test_mosaic_closes_for_the_last_epochs() -> None:
    """Of 6 epochs the last 2 show one whole picture each: its grey is all there is."""
    images = []
    for grey in (20, 120, 220):
        pixels = np.full((64, 64), grey, np.uint8)
        pixels[0, 0], pixels[0, 1] = 0, 255
        reader = functools.partial(Micrograph, pixels)
        images.append(AnnotatedImage(str(grey), reader, (64, 64), np.zeros((0, 4), np.float32), np.zeros(0, np.int64), np.zeros(0, bool)))
    dataset = DetectionDataset(images, 64, Augmentation(mosaic=1.0, close_mosaic=2), epochs=6)
    greys = [max(len(set(np.unique(dataset[(epoch, i)].image)) - {0, 255, PADDING_GREY}) for i in range(3)) for epoch in range(6)]
    assert min(greys[:4]) >= 2
    assert greys[4:] == [1, 1]


def test_size_that_the_annotation_denies() -> None:
    wrong = AnnotatedImage(**{**vars(IMAGES[0]), "image_hw": (128, 96)})
    with pytest.raises(InputError, match=r"0\.png: the picture is 96 x 128 px, its annotation says 128 x 96"):
        DetectionDataset([wrong], 64).load_all()


def test_unreadable_pictures_are_named_before_training(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One error for all, each in the log."""
    images = []
    for name in ("good.png", "cut.png", "also cut.png"):
        path = tmp_path / name
        cv2.imwrite(str(path), IMAGES[0].read().pixels)
        if "cut" in name:
            path.write_bytes(path.read_bytes()[:200])
        images.append(AnnotatedImage(**{**vars(IMAGES[0]), "name": name, "reader": functools.partial(read_micrograph, path)}))
    with pytest.raises(InputError, match=r"cut\.png.*and 1 more picture") as raised:
        DetectionDataset(images, 64).load_all()
    assert "\n" not in str(raised.value)
    assert "also cut.png" in caplog.text
    assert "good.png" not in caplog.text


def test_evaluation_samples_are_whole_whatever_the_epoch() -> None:
    dataset = DetectionDataset(IMAGES, 64)
    assert_same(dataset[1], dataset[(7, 1)])
    assert dataset[1].image.shape == (64, 64)


def empty(index: int, hw: tuple[int, int] = (8, 12), objects: int = 0) -> Sample:
    boxes = np.tile(np.array([[1, 2, 5, 6]], np.float32), (objects, 1))
    return Sample(np.full(hw, 7, np.uint8), boxes, np.arange(objects), np.zeros(objects, bool), index, Placement(1, 1), hw)


def test_ragged_batch_by_hand() -> None:
    batch = collate([empty(5), empty(2, (16, 4), 300), empty(9, (10, 12), 1)], in_chans=3)
    assert batch.images.shape == (3, 3, 16, 12)
    assert batch.images.dtype == torch.uint8
    assert (batch.images[0, :, :8] == 7).all()
    assert (batch.images[0, :, 8:] == PADDING_GREY).all()
    assert (batch.images[1, :, :, 4:] == PADDING_GREY).all()
    assert batch.targets.shape == (301, 6)
    assert batch.targets.dtype == torch.float32
    # Centre (3, 4), size (4, 4) as shares of the batch's 12 x 16 px, not of the sample's.
    torch.testing.assert_close(batch.targets[-1], torch.tensor([2, 0, 3 / 12, 4 / 16, 4 / 12, 4 / 16]))
    assert batch.targets[:300, 1].tolist() == list(range(300))
    assert batch.ignored.shape == (0, 6)
    assert batch.indices.tolist() == [5, 2, 9]


def test_batch_without_any_object() -> None:
    batch = collate([empty(0), empty(1)])
    assert batch.targets.shape == batch.ignored.shape == (0, 6)
    assert batch.images.shape == (2, 1, 8, 12)


def test_simulated_pictures_go_the_same_way() -> None:
    images, _ = simulate(count=3, image_hw=(96, 128), seed=1)
    assert any(len(image.boxes) for image in images)
    batch = collate([DetectionDataset(images, 96)[i] for i in range(3)])
    for image, boxes in zip(images, back(batch, batch.targets), strict=True):
        np.testing.assert_allclose(boxes, image.boxes[~image.ignore], atol=0.01)


@pytest.mark.parametrize(("count", "ranks"), [(10, 1), (10, 3), (2, 5), (1, 4), (12, 4), (7, 7)])
def test_an_epoch_visits_every_picture(count: int, ranks: int) -> None:
    samplers = [EpochSampler(count, seed=4, rank=rank, ranks=ranks) for rank in range(ranks)]
    orders = []
    for epoch in range(2):
        shares = [list(sampler) for sampler in samplers]
        assert {len(share) for share in shares} == {len(samplers[0])} == {-(-count // ranks)}
        flat = [key for share in shares for key in share]
        assert {index for _, index in flat} == set(range(count))
        assert {found for found, _ in flat} == {epoch}
        if count % ranks == 0:
            assert len(flat) == len(set(flat))
        elif count > ranks:
            assert len(flat) - len(set(flat)) == len(flat) - count
        orders.append([index for _, index in flat])
    if count >= 7:
        assert orders[0] != orders[1]


def test_order_goes_on_from_an_epoch() -> None:
    whole, resumed = EpochSampler(20, seed=1), EpochSampler(20, seed=1)
    epochs = [list(whole) for _ in range(4)]
    resumed.epoch = 2
    assert [list(resumed), list(resumed)] == epochs[2:]
    assert list(EpochSampler(20, seed=2)) != epochs[0]
    assert epochs[0] != [(0, i) for i in range(20)]


@pytest.mark.parametrize(("count", "ranks"), [(10, 1), (10, 4), (2, 5), (8, 2)])
def test_evaluation_shards(count: int, ranks: int) -> None:
    """Every picture, equal numbers on every rank, none without any; in one process in order and once."""
    shares = [list(ShardSampler(count, rank, ranks)) for rank in range(ranks)]
    assert {len(share) for share in shares} == {-(-count // ranks)} == {len(ShardSampler(count, 0, ranks))}
    assert {i for share in shares for i in share} == set(range(count))
    if ranks == 1:
        assert shares[0] == list(range(count))


def test_building_a_data_set_reads_nothing() -> None:

    def forbidden() -> Micrograph:
        raise AssertionError("read too early")

    reader: Callable[[], Micrograph] = forbidden
    dataset = DetectionDataset([AnnotatedImage(**{**vars(IMAGES[0]), "reader": reader})], 64)
    assert len(dataset) == 1
    assert dataset.object_sizes().shape == (2, 2)


# Large fields -------------------------------------------------------------------------------------------------------------------------------------------------


def field(tmp_path: Path, hw: tuple[int, int] = (200, 330), empty: bool = False) -> AnnotatedImage:
    """A file of flat grey with one object of 12 x 10 px near its right edge: its place in a window tells where the window is."""
    rng = np.random.default_rng(0)
    pixels = rng.integers(80, 120, hw).astype(np.uint8)
    box = (hw[1] - 40, 50, hw[1] - 28, 60)
    pixels[box[1] : box[3], box[0] : box[2]] = 250
    path = tmp_path / f"{hw[0]}x{hw[1]}{'e' if empty else ''}.png"
    cv2.imwrite(str(path), pixels)
    count = 0 if empty else 1
    boxes = np.array([box] * count, np.float32).reshape(-1, 4)
    return AnnotatedImage(path.name, functools.partial(read_micrograph, path), hw, boxes, np.zeros(count, np.int64), np.zeros(count, bool), path=path)


def test_tiles_cover_large_pictures_at_their_own_scale(tmp_path: Path) -> None:
    images = [field(tmp_path), field(tmp_path, (50, 60)), field(tmp_path, (128, 128), empty=True)]
    dataset = DetectionDataset(images, 64, Augmentation(), tiled=True)
    assert dataset.items == [0] * 16 + [1] + [2] * 4  # 200 * 330 / 64^2 = 16.1
    assert dataset.object_sizes().tolist() == [[12, 10], [12, 10]]
    dataset.load_all()
    picture = normalise(images[0].read().pixels)
    whole, places = 0, set()
    for epoch in range(8):
        for item in range(16):
            made = dataset[epoch, item]
            assert made.image.shape == (64, 64)
            found = cv2.matchTemplate(picture, made.image, cv2.TM_SQDIFF)
            assert found.min() < 100  # pixels as recorded, float32 sums aside
            _, _, (left, top), _ = cv2.minMaxLoc(found)
            places.add((left, top))
            real = made.boxes[~made.ignore]
            if len(real) and (real[0, 2:] - real[0, :2] == [12, 10]).all():
                whole += 1
                assert (real[0] + [left, top, left, top]).tolist() == images[0].boxes[0].tolist()
    assert len(places) > 100
    assert 0.45 < whole / 128 < 0.75  # half of them by intent; one more in 25 by chance
    assert min(left for left, _ in places) < 60
    only = DetectionDataset(images, 64, Augmentation(near_objects=1.0), tiled=True)
    assert all(len(only[0, item].boxes) == 1 for item in range(16))


def test_an_object_larger_than_the_window_is_no_reason_to_stop() -> None:
    image = drawn((200, 200), 3)
    image = dataclasses.replace(image, boxes=np.array([[10, 20, 190, 180]] * 3, np.float32))
    dataset = DetectionDataset([image], 64, Augmentation(near_objects=1.0), tiled=True)
    assert all(dataset[epoch, 0].image.shape == (64, 64) for epoch in range(20))


def test_evaluation_sees_whole_fields_once(tmp_path: Path) -> None:
    dataset = DetectionDataset([field(tmp_path), field(tmp_path, (50, 60))], 64, tiled=True)
    assert len(dataset) == 2
    large, small = dataset[0], dataset[1]
    assert large.image.shape == (256, 384)
    assert large.placement[:2] == (1.0, 1.0)
    assert small.image.shape == (64, 64)
    assert (small.boxes[:, 2:] - small.boxes[:, :2]).tolist() == [[12, 10]]


def test_what_finds_no_room_in_memory_is_kept_on_disk(tmp_path: Path) -> None:
    images = [field(tmp_path), field(tmp_path, (50, 60))]
    plain = DetectionDataset(images, 64, Augmentation(), tiled=True)
    kept = DetectionDataset(images, 64, Augmentation(), tiled=True, cache_gib=0.00001, cache_folder=tmp_path / "cache")
    kept.load_all()
    assert [type(kept._cache[i]).__name__ for i in (0, 1)] == [type(tmp_path).__name__, "ndarray"]
    assert len(list((tmp_path / "cache").iterdir())) == 1
    (tmp_path / images[0].name).write_bytes(b"gone")  # nobody reads it again
    again = pickle.loads(pickle.dumps(kept))
    assert len(pickle.dumps(kept)) < 50_000  # workers are told where, not what
    for item in range(len(plain)):
        if plain.items[item] == 1:
            np.testing.assert_array_equal(plain[0, item].image, again[0, item].image)
    assert again[0, 0].image.shape == (64, 64)

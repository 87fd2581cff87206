"""Boxes stay on their objects whatever happens to a picture; a sample depends on nothing but (seed, epoch, index)."""

from pathlib import Path

import albumentations
import cv2
import hydra
import numpy as np
import pytest
from numpy.typing import NDArray
from omegaconf import DictConfig, OmegaConf

from exolight.data.augmentation import Augmentation, Augmented, Scene, areas, clip_outlines, extents, join, mix, outline_points
from exolight.preprocessing import PADDING_GREY

CONF = Path(__file__).parents[2] / "conf"
PRESETS = sorted(path.stem for path in (CONF / "augmentation").glob("*.yaml"))
SIZE = 128


def preset(name: str) -> DictConfig:
    with hydra.initialize_config_dir(str(CONF), version_base=None):
        return hydra.compose("train", overrides=[f"augmentation={name}"]).augmentation


def only_geometry(name: str) -> Augmentation:
    """A preset without changes of grey; pixels keep their values, so that each shows whose it is."""
    choices = preset(name)
    OmegaConf.set_struct(choices, False)
    choices.intensity, choices.mixup = {}, 0.0
    if "affine" in choices.geometric:
        choices.geometric.affine.interpolation = cv2.INTER_NEAREST
    return hydra.utils.instantiate(choices)


def ellipse_outline(cx: float, cy: float, a: float, b: float, angle: float) -> NDArray[np.float32]:
    t = np.linspace(0, 2 * np.pi, 96, endpoint=False)
    x, y = a * np.cos(t), b * np.sin(t)
    return np.stack((cx + x * np.cos(angle) - y * np.sin(angle), cy + x * np.sin(angle) + y * np.cos(angle)), axis=1).astype(np.float32)


def drawn(hw: tuple[int, int], seed: int, first_grey: int, tilted: bool = True, count: int = 4) -> Scene:
    """A picture of disjoint filled ellipses, each of its own grey, and their outlines; some are cut by the picture's edge."""
    rng = np.random.default_rng(seed)
    image = np.full(hw, PADDING_GREY, dtype=np.uint8)
    y, x = np.mgrid[: hw[0], : hw[1]] + 0.5
    outlines: list[NDArray[np.float32]] = []
    for _ in range(200):
        if len(outlines) == count:
            break
        cx, cy, a, b = rng.uniform(0, hw[1]), rng.uniform(0, hw[0]), *rng.uniform(8, 22, size=2)
        angle = rng.uniform(0, np.pi) if tilted else 0.0
        u, v = (x - cx) * np.cos(angle) + (y - cy) * np.sin(angle), -(x - cx) * np.sin(angle) + (y - cy) * np.cos(angle)
        around = (u / (a + 3)) ** 2 + (v / (b + 3)) ** 2 < 1
        outline = clip_outlines(ellipse_outline(cx, cy, a, b, angle), np.array([96]), hw)[0]
        inside = not tilted and (cx < a or cy < b or cx > hw[1] - a or cy > hw[0] - b)
        if inside or (image[around] != PADDING_GREY).any() or len(outline) < 20:
            continue
        image[(u / a) ** 2 + (v / b) ** 2 <= 1] = first_grey + len(outlines)
        outlines.append(outline)
    boxes = np.array([(*o.min(axis=0), *o.max(axis=0)) for o in outlines], dtype=np.float32).reshape(-1, 4)
    points, counts = outline_points(boxes, outlines if tilted else None)
    labels = np.arange(len(outlines)) + first_grey
    return Scene(image, points, counts, labels, np.zeros(len(outlines), dtype=bool))


SCENES = [drawn((96, 128), 1, 130), drawn((128, 80), 2, 140), drawn((60, 128), 3, 150), drawn((90, 90), 4, 160, tilted=False)]


def load(index: int) -> Scene:
    return SCENES[index]


def pieces(image: NDArray[np.uint8], value: int, least: int) -> NDArray[np.float32]:
    """(K, 4) xyxy of the connected pieces of one grey that have at least so many pixels."""
    _, _, stats, _ = cv2.connectedComponentsWithStats((image == value).astype(np.uint8), connectivity=8)
    x, y, w, h, area = stats[1:].T
    return np.stack((x, y, x + w, y + h), axis=1)[area >= least].astype(np.float32)


def distance(box: NDArray[np.float32], others: NDArray[np.float32]) -> float:
    """How far the nearest of ``others`` is off: the largest difference of a side. Whole pixels hardly say how long a sliver is: 2 px are forgiven."""
    slivers = (others[:, 2:] - others[:, :2]).min(axis=1, initial=np.inf) < 4
    return float((np.abs(box - others).max(axis=1, initial=0) - 2 * slivers).min(initial=np.inf))


def assert_boxes_fit(made: Augmented, tolerance: float = 2.0) -> NDArray[np.float32]:
    """Every piece of an object that the picture shows has its box, and every box its piece; returns box less piece (K, 4) of those that do not touch the edge.

    Two pixels, because a picture drawn pixel by pixel and enlarged says no better where an object ends.
    """
    for value in np.unique(made.image[made.image >= 130]):
        boxes = made.boxes[made.labels == value]
        for piece in pieces(made.image, int(value), 30):
            assert distance(piece, boxes) <= tolerance, f"grey {value}: the piece at {piece} has no box: {boxes}"
    errors = []
    for box, label, ignore in zip(made.boxes, made.labels, made.ignore, strict=True):
        found = pieces(made.image, int(label), 4)
        assert ignore or distance(box, found) <= tolerance, f"grey {label}: the box {box} has no piece: {found}"
        if not ignore and (box > 0).all() and (box < SIZE).all():
            errors.append(box - found[np.abs(found - box).max(axis=1).argmin()])
    return np.array(errors, dtype=np.float32).reshape(-1, 4)


def assert_centred(errors: list[NDArray[np.float32]]) -> None:
    """On the average boxes lie on their objects, to a quarter of a pixel in x and in y, and are as large, to 0.8 px: not shifted by half a pixel, not loose."""
    mean = np.concatenate(errors).mean(axis=0)
    assert len(np.concatenate(errors)) > 20
    np.testing.assert_allclose((mean[:2] + mean[2:]) / 2, 0, atol=0.25)
    np.testing.assert_allclose(mean[2:] - mean[:2], 0, atol=0.8)


def sample(augmentation: Augmentation, seed: int, index: int = 0, mosaic_open: bool = True, scenes=load, count: int = len(SCENES)) -> Augmented:
    return augmentation(scenes, index, count, SIZE, np.random.default_rng(seed), mosaic_open)


@pytest.mark.parametrize("name", PRESETS)
def test_boxes_fit_their_objects(name: str) -> None:
    augmentation = only_geometry(name)
    errors = []
    for seed in range(32):
        made = sample(augmentation, seed, seed % len(SCENES), mosaic_open=seed % 4 > 0)
        assert made.image.shape == (SIZE, SIZE)
        assert made.image.dtype == np.uint8
        assert made.boxes.dtype == np.float32
        assert (made.boxes >= 0).all()
        assert (made.boxes <= SIZE).all()
        errors.append(assert_boxes_fit(made))
    assert_centred(errors)


@pytest.mark.parametrize(
    "transform",
    [
        albumentations.Affine(rotate=(-180, 180), scale=(1, 1), interpolation=cv2.INTER_NEAREST, fill=PADDING_GREY, p=1),
        albumentations.Affine(shear=(-20, 20), interpolation=cv2.INTER_NEAREST, fill=PADDING_GREY, p=1),
        albumentations.Affine(translate_percent=(-0.5, 0.5), interpolation=cv2.INTER_NEAREST, fill=PADDING_GREY, p=1),
        albumentations.Rotate(limit=180, interpolation=cv2.INTER_NEAREST, border_mode=cv2.BORDER_CONSTANT, fill=PADDING_GREY, p=1),
        albumentations.HorizontalFlip(p=1),
        albumentations.VerticalFlip(p=1),
        albumentations.Transpose(p=1),
        albumentations.RandomRotate90(p=1),
    ],
    ids=lambda transform: type(transform).__name__,
)
def test_boxes_follow_any_rotation_flip_and_shift(transform: albumentations.BasicTransform) -> None:
    augmentation = Augmentation({"only": transform}, {})
    assert_centred([assert_boxes_fit(sample(augmentation, seed, seed % 4)) for seed in range(32)])


def test_without_augmentation_boxes_are_those_of_the_annotation() -> None:
    """Also where an outline is within half a pixel of its box: the picture is only padded."""
    image = np.full((60, 128), 90, dtype=np.uint8)
    boxes = np.array([[10, 20, 40, 30], [0, 0, 128, 60], [100.25, 3.5, 110.75, 50]], dtype=np.float32)
    scene = Scene(image, *outline_points(boxes, None), np.array([0, 1, 2]), np.array([False, True, False]))
    made = Augmentation()(lambda _: scene, 0, 1, SIZE, np.random.default_rng(0))
    np.testing.assert_allclose(made.boxes - boxes, [[0, 34, 0, 34]] * 3, atol=1e-4)
    np.testing.assert_array_equal(made.image[34:94], image)
    assert (made.image[:34] == PADDING_GREY).all()
    assert made.ignore.tolist() == [False, True, False]


def test_outline_that_does_not_fill_its_box_is_replaced_by_an_ellipse() -> None:
    box = np.array([[0, 0, 20, 10]], dtype=np.float32)
    part = np.array([[0, 0], [5, 0], [5, 5], [0, 5]], dtype=np.float32)
    points, counts = outline_points(box, [part])
    np.testing.assert_allclose(extents(points, counts), box, atol=1e-5)


def test_flips_are_independent() -> None:
    """Two transforms at p = 0.5: each of the four combinations in about a quarter of 400 pictures (5 standard deviations: 0.11)."""
    augmentation = Augmentation({"h": albumentations.HorizontalFlip(p=0.5), "v": albumentations.VerticalFlip(p=0.5)}, {})
    image = np.full((SIZE, SIZE), 10, dtype=np.uint8)
    image[:64, :64] = 200
    scene = Scene(image, *outline_points(np.zeros((0, 4), np.float32), None), np.zeros(0, np.int64), np.zeros(0, bool))
    corners = []
    for seed in range(400):
        made = sample(augmentation, seed, scenes=lambda _: scene)
        corners.append(int(np.argmax([made.image[y, x] for y in (5, 120) for x in (5, 120)])))
    np.testing.assert_allclose(np.bincount(corners, minlength=4) / 400, 0.25, atol=0.11)


def test_nothing_but_the_generator_decides() -> None:
    first, second = (hydra.utils.instantiate(preset("strong")) for _ in range(2))
    for seed in (99, 98):
        sample(second, seed)  # what happened before must not matter
    a, b, c = sample(first, 5), sample(second, 5), sample(first, 6)
    for left, right in zip(a, b, strict=True):
        np.testing.assert_array_equal(left, right)
    assert not np.array_equal(a.image, c.image)


def test_closed_mosaic_shows_one_whole_picture() -> None:
    augmentation = Augmentation(mosaic=1.0, mixup=1.0)
    for seed in range(5):
        assert set(sample(augmentation, seed, 1, mosaic_open=False).labels) == set(SCENES[1].labels)
    assert any(len({label // 10 for label in sample(augmentation, seed, 1).labels}) > 1 for seed in range(5))


def test_mixup_joins_two_pictures() -> None:
    a = Augmented(np.full((8, 12), 100, np.uint8), np.array([[1, 2, 5, 6]], np.float32), np.array([0]), np.array([False]))
    b = Augmented(np.full((8, 12), 200, np.uint8), np.array([[3, 3, 9, 7]], np.float32), np.array([1]), np.array([True]))
    made = mix(a, b, 0.25)
    assert (made.image == 175).all()
    assert made.image.shape == (8, 12)
    np.testing.assert_array_equal(made.boxes, [[1, 2, 5, 6], [3, 3, 9, 7]])
    assert made.labels.tolist() == [0, 1]
    assert made.ignore.tolist() == [False, True]
    whole = sample(Augmentation(mixup=1.0), 3)
    assert len(whole.labels) > len(SCENES[0].labels)


def test_mosaic_puts_four_pictures_round_a_point() -> None:
    def plain(grey: int, hw: tuple[int, int]) -> Scene:
        box = np.array([[0, 0, hw[1], hw[0]]], dtype=np.float32)
        return Scene(np.full(hw, grey, np.uint8), *outline_points(box, None), np.array([grey]), np.array([False]))

    scenes = [plain(10, (40, 64)), plain(20, (64, 30)), plain(30, (50, 50)), plain(40, (20, 64))]
    made = join(scenes, 64, np.random.default_rng(0))
    assert made.image.shape == (128, 128)
    for box, label in zip(extents(made.points, made.counts), made.labels, strict=True):
        rows, columns = np.nonzero(made.image == label)
        seen = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(box.clip(0, 128), seen, atol=1e-3)
    cx, cy = extents(made.points, made.counts)[0, 2:]
    np.testing.assert_allclose(extents(made.points, made.counts)[:, [0, 1]][3], [cx, cy], atol=1e-3)


def test_every_part_of_a_large_picture_is_seen() -> None:
    """Also in a mosaic, whose four pictures touch the middle with their corners."""
    image = np.zeros((400, 600), dtype=np.uint8)
    cv2.circle(image, (300, 200), 50, 255, -1)
    scene = Scene(image, *outline_points(np.array([[249.5, 149.5, 351.5, 251.5]], np.float32), None), np.array([0]), np.array([False]))
    for augmentation in (Augmentation(), Augmentation(mosaic=1.0)):
        made = [sample(augmentation, seed, scenes=lambda _: scene, count=1) for seed in range(40)]
        assert any((m.image == 255).sum() > 1000 for m in made)
        assert all(len(m.boxes) > 0 for m in made if (m.image == 255).sum() > 20)


def test_object_cut_off_is_ignored_not_background() -> None:
    """Of a disc of 40 px, a quarter of the width is 19.6 % of the area: too little to learn from, but not background."""
    disc = np.array([[44, 44, 84, 84]], dtype=np.float32)
    scene = Scene(np.full((SIZE, SIZE), 50, np.uint8), *outline_points(disc, None), np.array([0]), np.array([False]))
    shift = albumentations.Affine(translate_px={"x": (-74, -74), "y": (0, 0)}, p=1)
    for least, ignored in ((0.25, True), (0.15, False)):
        made = sample(Augmentation({"shift": shift}, min_visible=least), 0, scenes=lambda _: scene, count=1)
        assert made.ignore.tolist() == [ignored]
        # 10 px of 40: the half chord is sqrt(20^2 - 10^2), not the whole height of the disc.
        np.testing.assert_allclose(made.boxes, [[0, 64 - 17.32, 10, 64 + 17.32]], atol=0.3)
    gone = albumentations.Affine(translate_px={"x": (-90, -90), "y": (0, 0)}, p=1)
    assert len(sample(Augmentation({"shift": gone}), 0, scenes=lambda _: scene, count=1).boxes) == 0


def test_narrow_objects_are_ignored() -> None:
    boxes = np.array([[10, 10, 12.5, 40], [30, 30, 34, 34]], dtype=np.float32)
    scene = Scene(np.full((SIZE, SIZE), 50, np.uint8), *outline_points(boxes, None), np.array([0, 0]), np.array([False, False]))
    assert sample(Augmentation(min_side=3.0), 0, scenes=lambda _: scene, count=1).ignore.tolist() == [True, False]


def test_clipping_outlines_by_hand() -> None:
    """A diamond over the left edge, a square that lies inside, one outside, and one over a corner."""
    diamond = [(-4, 5), (0, 1), (4, 5), (0, 9)]
    inside = [(2, 2), (4, 2), (4, 3), (2, 3)]
    outside = [(30, 2), (40, 2), (40, 3), (30, 3)]
    corner = [(15, 7), (25, 7), (25, 15), (15, 15)]
    points = np.array(diamond + inside + outside + corner, dtype=np.float32)
    cut, counts = clip_outlines(points, np.array([4, 4, 4, 4]), (10, 20))
    assert counts[2] == 0
    kept = counts > 0
    np.testing.assert_allclose(extents(cut, counts[kept]), [[0, 1, 4, 9], [2, 2, 4, 3], [15, 7, 20, 10]])
    np.testing.assert_allclose(areas(cut, counts), [16, 2, 0, 15])
    empty, none = clip_outlines(np.zeros((0, 2), np.float32), np.zeros(0, np.int64), (10, 20))
    assert len(empty) == len(none) == 0


@pytest.mark.parametrize("name", PRESETS)
def test_picture_without_objects(name: str) -> None:
    augmentation = hydra.utils.instantiate(preset(name))
    empty = Scene(np.full((96, 128), 77, np.uint8), *outline_points(np.zeros((0, 4), np.float32), None), np.zeros(0, np.int64), np.zeros(0, bool))
    for seed in range(3):
        made = sample(augmentation, seed, scenes=lambda _: empty, count=2)
        assert made.image.shape == (SIZE, SIZE)
        assert made.boxes.shape == (0, 4)
        assert made.labels.shape == made.ignore.shape == (0,)
        mixed = sample(augmentation, seed, scenes=lambda i: empty if i % 2 else SCENES[0])
        assert len(mixed.boxes) == len(mixed.labels) == len(mixed.ignore)


@pytest.mark.parametrize(
    ("group", "target"),
    [
        ("intensity", {"_target_": "albumentations.CLAHE", "p": 1.0}),
        ("intensity", {"_target_": "albumentations.CoarseDropout", "p": 1.0}),
        ("intensity", {"_target_": "albumentations.OneOf", "transforms": [{"_target_": "albumentations.MedianBlur"}], "p": 1.0}),
        ("geometric", {"_target_": "albumentations.CoarseDropout", "fill": PADDING_GREY, "p": 1.0}),
        ("geometric", {"_target_": "albumentations.ElasticTransform", "alpha": 20, "sigma": 8, "interpolation": 0, "p": 1.0}),
        ("geometric", {"_target_": "albumentations.GridDistortion", "distort_limit": 0.1, "interpolation": 0, "p": 1.0}),
        ("geometric", {"_target_": "albumentations.Perspective", "interpolation": 0, "fill": PADDING_GREY, "p": 1.0}),
    ],
    ids=lambda value: value if isinstance(value, str) else value["_target_"].rpartition(".")[2],
)
def test_transform_of_the_user(group: str, target: dict) -> None:
    config = preset("none")
    OmegaConf.set_struct(config, False)
    config[group].mine = target
    augmentation = hydra.utils.instantiate(config)
    for seed in range(4):
        made = sample(augmentation, seed, seed)
        assert made.image.shape == (SIZE, SIZE)
        if group == "intensity":
            np.testing.assert_array_equal(made.boxes, sample(Augmentation(), seed, seed).boxes)
        elif "Dropout" not in target["_target_"]:
            assert_boxes_fit(made, tolerance=3.0)
            assert not made.ignore.all()
    empty = SCENES[0]._replace(points=np.zeros((0, 2), np.float32), counts=np.zeros(0, np.int64), labels=np.zeros(0, np.int64), ignore=np.zeros(0, bool))
    assert len(sample(augmentation, 0, scenes=lambda _: empty).boxes) == 0

"""The loss against a slow implementation with loops, and what must hold of it."""

import math

import pytest
import torch
from torch import Tensor

from exolight.losses.assignment import assign
from exolight.losses.detection import DetectionLoss, counting_predictions
from exolight.models.box_coder import AnchorBoxCoder

STRIDES = [8, 16, 32]
HW = (64, 96)  # px, not square
ANCHORS = torch.tensor([[[8.0, 10.0], [14.0, 12.0]], [[25.0, 20.0], [18.0, 30.0]], [[50.0, 40.0], [60.0, 58.0]]])
NONE = torch.zeros(0, 6)


def random_raw(classes: int = 1, batch: int = 2, levels: int = 3, seed: int = 0) -> list[Tensor]:
    generator = torch.Generator().manual_seed(seed)
    numbers = 5 + (classes if classes > 1 else 0)
    return [torch.randn(batch, HW[0] // s, HW[1] // s, 2, numbers, generator=generator) for s in STRIDES[:levels]]


def random_targets(count: int, classes: int = 1, batch: int = 2, seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    rows = torch.rand(count, 6, generator=generator)
    rows[:, 0] = torch.randint(0, batch, (count,), generator=generator)
    rows[:, 1] = torch.randint(0, classes, (count,), generator=generator)
    rows[:, 4:6] = rows[:, 4:6] * torch.tensor([0.6, 0.7]) + 0.05
    return rows


def slow_ciou(a: list[float], b: list[float]) -> float:
    """Centre x, centre y, width, height each; written out from the paper."""
    ax1, ay1, ax2, ay2 = a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2
    bx1, by1, bx2, by2 = b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2
    both = max(0, min(ax2, bx2) - max(ax1, bx1)) * max(0, min(ay2, by2) - max(ay1, by1))
    iou = both / (a[2] * a[3] + b[2] * b[3] - both)
    diagonal = (max(ax2, bx2) - min(ax1, bx1)) ** 2 + (max(ay2, by2) - min(ay1, by1)) ** 2
    v = 4 / math.pi**2 * (math.atan(b[2] / b[3]) - math.atan(a[2] / a[3])) ** 2
    return iou - ((a[0] - b[0]) ** 2 + (a[1] - b[1]) ** 2) / diagonal - (v * v / (1 - iou + v) if v else 0)


def cross_entropy(logit: float, wanted: float) -> float:
    p = 1 / (1 + math.exp(-logit))
    return -(wanted * math.log(p) + (1 - wanted) * math.log(1 - p))


def slow_loss(raw: list[Tensor], targets: Tensor, ignored: Tensor = NONE) -> dict[str, float]:
    """The published loss with plain loops over levels, objects, anchors and cells."""
    box = objectness = classes = 0.0
    balance = (4.0, 1.0, 0.4) if len(raw) == 3 else (4.0, 1.0, 0.25, 0.06, 0.02)
    for level, values in enumerate(raw):
        batch, height, width, anchors, numbers = values.shape
        stride = STRIDES[level]
        wanted: dict[tuple[int, ...], float] = {}
        box_terms, class_terms = [], []
        for image, label, cx, cy, w, h in targets.tolist():
            x, y, w, h = cx * width, cy * height, w * width * stride, h * height * stride
            own = (int(x), int(y))
            candidates = [own]
            candidates += [(own[0] - 1, own[1])] if x % 1 < 0.5 and x > 1 else []
            candidates += [(own[0], own[1] - 1)] if y % 1 < 0.5 and y > 1 else []
            candidates += [(own[0] + 1, own[1])] if x % 1 > 0.5 and x < width - 1 else []
            candidates += [(own[0], own[1] + 1)] if y % 1 > 0.5 and y < height - 1 else []
            for a in range(anchors):
                wa, ha = ANCHORS[level, a].tolist()
                if max(w / wa, wa / w, h / ha, ha / h) >= 4:
                    continue
                for column, row in candidates:
                    t = values[int(image), row, column, a].tolist()
                    s = [1 / (1 + math.exp(-v)) for v in t[:4]]
                    found = [(2 * s[0] - 0.5 + column) * stride, (2 * s[1] - 0.5 + row) * stride, (2 * s[2]) ** 2 * wa, (2 * s[3]) ** 2 * ha]
                    overlap = slow_ciou(found, [x * stride, y * stride, w, h])
                    box_terms.append(1 - overlap)
                    key = (int(image), row, column, a)
                    wanted[key] = max(wanted.get(key, 0), overlap, 0)
                    if numbers > 5:
                        class_terms.append(sum(cross_entropy(t[5 + c], float(c == int(label))) for c in range(numbers - 5)) / (numbers - 5))
        terms = []
        for b in range(batch):
            for row in range(height):
                for column in range(width):
                    for a in range(anchors):
                        key = (b, row, column, a)
                        x, y = (column + 0.5) / width, (row + 0.5) / height
                        left_out = any(int(i) == b and abs(x - cx) < w / 2 and abs(y - cy) < h / 2 for i, _, cx, cy, w, h in ignored.tolist())
                        if not left_out or wanted.get(key, 0) > 0:
                            terms.append(cross_entropy(float(values[b, row, column, a, 4]), wanted.get(key, 0)))
        box += sum(box_terms) / len(box_terms) if box_terms else 0
        classes += sum(class_terms) / len(class_terms) if class_terms else 0
        objectness += balance[level] * sum(terms) / len(terms)
    return {"box": box, "objectness": objectness, "class": classes}


def loss(raw: list[Tensor], targets: Tensor, ignored: Tensor = NONE, smoothing: float = 0.0) -> dict[str, Tensor]:
    return DetectionLoss(smoothing)(raw, targets, ignored, ANCHORS[: len(raw)], STRIDES[: len(raw)])


def values(terms: dict[str, Tensor]) -> dict[str, float]:
    assert all(term.shape == () for term in terms.values())
    return {name: float(term.detach()) for name, term in terms.items()}


@pytest.mark.parametrize("classes", [1, 3])
@pytest.mark.parametrize("levels", [3, 2])
@pytest.mark.parametrize("count", [0, 1, 12, 60])
def test_against_loops(count: int, levels: int, classes: int) -> None:
    raw, targets = random_raw(classes, levels=levels, seed=count), random_targets(count, classes, seed=count)
    assert values(loss(raw, targets)) == pytest.approx(slow_loss(raw, targets), rel=1e-4, abs=1e-5)


def test_ignored_regions_against_loops() -> None:
    """Regions of at least a cell of the coarsest level."""
    raw, targets, ignored = random_raw(), random_targets(6), random_targets(4, seed=9)
    ignored[:, 4:6] = ignored[:, 4:6].clamp(min=0.55)
    assert values(loss(raw, targets, ignored)) == pytest.approx(slow_loss(raw, targets, ignored), rel=1e-4)


def test_by_hand() -> None:
    """One level of 1 x 2 cells, one anchor, an object in the middle of the right cell, all numbers 0: IoU = 100 / 160."""
    raw = [torch.zeros(1, 1, 2, 1, 5)]
    targets = torch.tensor([[0, 0, 12 / 16, 4 / 8, 10 / 16, 10 / 8]])
    terms = DetectionLoss()(raw, targets, NONE, torch.tensor([[[16.0, 10.0]]]), [8])
    v = 4 / math.pi**2 * (math.atan(1.0) - math.atan(1.6)) ** 2
    ciou = 0.625 - v * v / (0.375 + v)
    assert float(terms["box"]) == pytest.approx(1 - ciou, rel=1e-5)
    assert float(terms["objectness"]) == pytest.approx(4 * math.log(2), rel=1e-5)
    assert float(terms["class"]) == 0


def perfect(targets: Tensor, objectness: float = 15.0) -> list[Tensor]:
    """Raw numbers that say the objects exactly, by way of the encoder and the assignment; objects must not share predictions."""
    raw = [torch.full((2, HW[0] // s, HW[1] // s, 2, 5), -objectness) for s in STRIDES]
    for level, stride, anchors in zip(raw, STRIDES, ANCHORS, strict=True):
        grid = (level.shape[1], level.shape[2])
        found = assign(targets, anchors, grid, stride)
        boxes = targets[found.target, 2:6] * torch.tensor([HW[1], HW[0], HW[1], HW[0]])
        cells = torch.stack((found.column, found.row), dim=1).float()
        level[found.image, found.row, found.column, found.anchor, :4] = AnchorBoxCoder.encode(boxes, cells, anchors[found.anchor], stride)
        level[found.image, found.row, found.column, found.anchor, 4] = objectness
    return raw


def test_perfect_numbers_cost_nothing() -> None:
    targets = torch.tensor([[0, 0, 20 / 96, 20 / 64, 10 / 96, 12 / 64], [0, 0, 70 / 96, 45 / 64, 30 / 96, 22 / 64], [1, 0, 50 / 96, 30 / 64, 55 / 96, 50 / 64]])
    terms = values(loss(perfect(targets), targets))
    assert terms["box"] == pytest.approx(0, abs=1e-4)
    assert terms["objectness"] == pytest.approx(0, abs=1e-3)
    shifted = targets + torch.tensor([0, 0, 0.03, 0, 0, 0])
    assert values(loss(perfect(targets), shifted))["box"] > 0.1


@pytest.mark.parametrize("classes", [1, 3])
def test_no_objects_anywhere(classes: int) -> None:
    """Only objectness, of the background; its gradient is finite and there is one."""
    raw = [r.requires_grad_() for r in random_raw(classes)]
    terms = loss(raw, NONE)
    assert values(terms)["box"] == values(terms)["class"] == 0
    sum(terms.values()).backward()
    assert all(r.grad.isfinite().all() and r.grad[..., 4].abs().min() > 0 for r in raw)


def test_one_class_has_no_class_term() -> None:
    assert float(loss(random_raw(1), random_targets(10))["class"]) == 0
    assert float(loss(random_raw(2), random_targets(10, 2))["class"]) > 0


def test_label_smoothing_by_hand() -> None:
    raw = [torch.zeros(1, 1, 1, 1, 7)]
    raw[0][..., 5:] = torch.tensor([2.0, -1.0])
    targets = torch.tensor([[0, 1, 0.5, 0.5, 1.0, 1.0]])
    for smoothing in (0.0, 0.1):
        found = DetectionLoss(smoothing)(raw, targets, NONE, torch.tensor([[[8.0, 8.0]]]), [8])["class"]
        assert float(found) == pytest.approx((cross_entropy(2, smoothing / 2) + cross_entropy(-1, 1 - smoothing / 2)) / 2, rel=1e-5)


@pytest.mark.parametrize("classes", [1, 3])
def test_order_of_objects_does_not_matter(classes: int) -> None:
    """Many objects claim the same predictions: the one that fits best counts, whatever comes last."""
    raw, targets = random_raw(classes), random_targets(200, classes)
    expected = values(loss(raw, targets))
    for seed in range(5):
        shuffled = targets[torch.randperm(len(targets), generator=torch.Generator().manual_seed(seed))]
        assert values(loss(raw, shuffled)) == pytest.approx(expected, rel=1e-5)


def test_of_two_claims_the_better_counts() -> None:
    raw = [torch.zeros(1, 1, 1, 1, 5)]
    raw[0][..., 4] = 3.0
    good, bad = [0, 0, 0.5, 0.5, 1.0, 1.0], [0, 0, 0.5, 0.5, 0.4, 0.4]
    anchors = torch.tensor([[[8.0, 8.0]]])
    for order in ([good, bad], [bad, good]):
        assert float(DetectionLoss()(raw, torch.tensor(order), NONE, anchors, [8])["objectness"]) == pytest.approx(4 * cross_entropy(3, 1), rel=1e-4)


def test_batch_is_the_mean_of_its_pictures() -> None:
    """Of the objectness; box terms are means over pairs, so pictures count by theirs."""
    raw, targets = random_raw(), random_targets(20)
    alone = [loss([r[i : i + 1] for r in raw], targets[targets[:, 0] == i] * torch.tensor([0, 1, 1, 1, 1, 1])) for i in range(2)]
    assert float(loss(raw, targets)["objectness"]) == pytest.approx(sum(float(t["objectness"]) for t in alone) / 2, rel=1e-5)
    twice = [torch.cat((r[:1], r[:1])) for r in raw]
    first = targets[targets[:, 0] == 0]
    both = torch.cat((first, first + torch.tensor([1, 0, 0, 0, 0, 0])))
    assert values(loss(twice, both)) == pytest.approx(values(alone[0]), rel=1e-5)


def test_pictures_do_not_see_each_others_objects() -> None:
    raw = random_raw()
    targets = random_targets(10)
    targets[:, 0] = 1
    moved = [r.clone().requires_grad_() for r in raw]
    loss(moved, targets)["box"].backward()
    assert all(r.grad[0].abs().max() == 0 for r in moved)
    assert any(r.grad[1].abs().max() > 0 for r in moved)


def test_objectness_target_carries_no_gradient() -> None:
    raw = [r.requires_grad_() for r in random_raw()]
    loss(raw, random_targets(10))["objectness"].backward()
    assert all(r.grad[..., :4].abs().max() == 0 for r in raw)
    assert all(r.grad[..., 4].abs().min() > 0 for r in raw)


@pytest.mark.parametrize("scale", [1.0, 30.0, 1000.0])
def test_gradients_are_finite_whatever_the_network_says(scale: float) -> None:
    raw = [(r * scale).requires_grad_() for r in random_raw(3)]
    terms = loss(raw, random_targets(60, 3), random_targets(3, seed=4))
    sum(terms.values()).backward()
    assert all(math.isfinite(v) for v in values(terms).values())
    assert all(r.grad.isfinite().all() for r in raw)


def test_half_precision_is_scored_in_full() -> None:
    raw, targets = random_raw(3), random_targets(20, 3)
    half = [r.to(torch.bfloat16) for r in raw]
    expected = values(loss([h.float() for h in half], targets))
    found = loss(half, targets)
    assert all(term.dtype == torch.float32 for term in found.values())
    assert values(found) == pytest.approx(expected, rel=1e-6)


def test_ignored_region_is_no_background() -> None:
    """A network that is sure of an object: wrong on background, free of charge in an ignored region, still right where there is one."""
    raw = [torch.full((2, HW[0] // s, HW[1] // s, 2, 5), -8.0) for s in STRIDES]
    raw[0][1, 2:4, 5:9, :, 4] = 8.0  # rows 16 to 32 px, columns 40 to 72 px of the second picture
    region = torch.tensor([[1, 0, 56 / 96, 24 / 64, 32 / 96, 16 / 64]])
    without, there, elsewhere = (float(loss(raw, NONE, ignored)["objectness"]) for ignored in (NONE, region, region * torch.tensor([0, 1, 1, 1, 1, 1])))
    assert without > 0.5
    assert there < 0.01
    assert elsewhere >= without
    swapped = region[:, [0, 1, 3, 2, 5, 4]]
    assert float(loss(raw, NONE, swapped)["objectness"]) > 0.1


def test_small_ignored_region_does_not_slip_between_cells() -> None:
    """6 px wide at the corner of four cells of 8 px, whose centres it misses: the cell of its own centre is left out, on every level."""
    for cx, cy in ((15, 23), (17, 25), (3, 61)):
        region = torch.tensor([[0, 0, cx / 96, cy / 64, 6 / 96, 6 / 64]])
        for stride in STRIDES:
            counts = counting_predictions(region, torch.zeros(2, HW[0] // stride, HW[1] // stride, 2))
            assert counts[0, cy // stride, cx // stride].max() == 0
            assert (counts == 0).sum() == 2
            assert counts[1].min() == 1


def test_object_in_an_ignored_region_still_counts() -> None:
    wanted = torch.zeros(1, 4, 6, 2)
    wanted[0, 1, 2, 0] = 0.7
    counts = counting_predictions(torch.tensor([[0, 0, 0.5, 0.5, 1.0, 1.0]]), wanted)
    assert counts.nonzero().tolist() == [[0, 1, 2, 0]]


def test_crowded_picture() -> None:
    """Hundreds of objects in one picture; nothing is capped."""
    raw = random_raw(batch=1)
    few, many = random_targets(300, batch=1), random_targets(900, batch=1)
    many[:300] = few
    assert values(loss(raw, many[torch.randperm(900)])) == pytest.approx(values(loss(raw, many)), rel=1e-4)
    assert values(loss(raw, many))["objectness"] != pytest.approx(values(loss(raw, few))["objectness"], rel=1e-6)

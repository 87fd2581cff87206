"""Assignment by hand: an object's cell and its two nearest neighbours, the anchors that resemble it, never outside the grid."""

import pytest
import torch
from torch import Tensor

from exolight.losses.assignment import assign

STRIDE = 8
GRID = (4, 6)  # height, width: a picture of 32 x 48 px
ONE_ANCHOR = torch.tensor([[10.0, 10.0]])


def objects(*rows: tuple[float, ...]) -> Tensor:
    """Rows of image, class, centre x, centre y, width, height in px -> targets (M, 6)."""
    targets = torch.tensor(rows, dtype=torch.float32).reshape(-1, 6)
    return targets / torch.tensor([1, 1, GRID[1] * STRIDE, GRID[0] * STRIDE, GRID[1] * STRIDE, GRID[0] * STRIDE])


def cells(targets: Tensor, anchors: Tensor = ONE_ANCHOR) -> set[tuple[int, int]]:
    """(column, row) of the pairs."""
    found = assign(targets, anchors, GRID, STRIDE)
    return set(zip(found.column.tolist(), found.row.tolist(), strict=True))


@pytest.mark.parametrize(
    ("centre", "expected"),
    [
        # Cell (2, 1) is x 16 to 24, y 8 to 16. Left and upper, right and upper, left and lower, right and lower half of it:
        ((18, 10), {(2, 1), (1, 1), (2, 0)}),
        ((22, 10), {(2, 1), (3, 1), (2, 0)}),
        ((18, 14), {(2, 1), (1, 1), (2, 2)}),
        ((22, 14), {(2, 1), (3, 1), (2, 2)}),
        # In the middle of a cell there is no nearest neighbour.
        ((20, 12), {(2, 1)}),
        # At the rim there are no neighbours beyond it: four corners, then the left and the lower edge.
        ((2, 2), {(0, 0)}),
        ((46, 2), {(5, 0)}),
        ((2, 30), {(0, 3)}),
        ((46, 30), {(5, 3)}),
        ((2, 14), {(0, 1), (0, 2)}),
        ((22, 30), {(2, 3), (3, 3)}),
        # The first cell's right and lower half.
        ((6, 6), {(0, 0), (1, 0), (0, 1)}),
    ],
)
def test_cell_and_two_nearest_neighbours(centre: tuple[float, float], expected: set[tuple[int, int]]) -> None:
    assert cells(objects((0, 0, *centre, 10, 10))) == expected


def test_x_is_the_column_and_y_the_row() -> None:
    found = assign(objects((0, 0, 44, 4, 10, 10)), ONE_ANCHOR, GRID, STRIDE)
    assert (found.column.tolist(), found.row.tolist()) == ([5], [0])


@pytest.mark.parametrize(
    ("size", "matches"),
    [((10, 20), True), ((39.9, 20), True), ((40, 20), False), ((2.6, 20), True), ((2.5, 20), False),
     ((10, 79.9), True), ((10, 80), False), ((10, 5.1), True), ((10, 5), False), ((0, 20), False)],
)  # fmt: skip
def test_an_anchor_matches_within_four_times_exclusive(size: tuple[float, float], matches: bool) -> None:
    """Anchor (10, 20): width and height are not swapped."""
    assert len(assign(objects((0, 0, 20, 12, *size)), torch.tensor([[10.0, 20.0]]), GRID, STRIDE).target) == int(matches)


def test_ratio_is_a_choice() -> None:
    assert len(assign(objects((0, 0, 20, 12, 25, 10)), ONE_ANCHOR, GRID, STRIDE, ratio=2.0).target) == 0
    assert len(assign(objects((0, 0, 20, 12, 25, 10)), ONE_ANCHOR, GRID, STRIDE, ratio=3.0).target) == 1


def test_whole_table() -> None:
    """Two pictures, two anchors: which object goes where under which anchor."""
    targets = objects((0, 0, 20, 12, 10, 10), (1, 2, 18, 12, 30, 30), (1, 1, 20, 20, 500, 10))
    found = assign(targets, torch.tensor([[10.0, 10.0], [40.0, 40.0]]), GRID, STRIDE)
    rows = sorted(zip(*(part.tolist() for part in found), strict=True))
    # image, row, column, anchor, target. 10 px against 40 px is 4 times: not less. 30 px fits both. 500 px wide fits none.
    assert rows == [(0, 1, 2, 0, 0), (1, 1, 1, 0, 1), (1, 1, 1, 1, 1), (1, 1, 2, 0, 1), (1, 1, 2, 1, 1)]
    assert all(part.dtype == torch.int64 for part in found)


def test_several_objects_may_claim_one_prediction() -> None:
    found = assign(objects((0, 0, 20, 12, 10, 10), (0, 1, 20, 12, 12, 9)), ONE_ANCHOR, GRID, STRIDE)
    assert sorted(found.target.tolist()) == [0, 1]
    assert set(found.column.tolist()) == {2}


def test_no_objects() -> None:
    found = assign(torch.zeros(0, 6), torch.tensor([[10.0, 10.0], [40.0, 40.0]]), GRID, STRIDE)
    assert all(part.shape == (0,) and part.dtype == torch.int64 for part in found)


def test_every_pair_lies_inside_and_can_be_decoded() -> None:
    """Hundreds of objects, up to the very corner: cells in the grid, centres within reach of their cell (-0.5 to 1.5), sizes of their anchor."""
    generator = torch.Generator().manual_seed(0)
    targets = torch.rand(400, 6, generator=generator)
    targets[:, :2] = 0
    targets[:8, 2:4] = torch.tensor([[0.0, 0], [1, 1], [0, 1], [1, 0], [0.5, 0.5], [0, 0.5], [0.5, 1], [1, 0.25]])
    anchors = torch.tensor([[6.0, 9.0], [20.0, 14.0], [30.0, 30.0]])
    found = assign(targets, anchors, GRID, STRIDE)
    assert ((found.column >= 0) & (found.column < GRID[1]) & (found.row >= 0) & (found.row < GRID[0])).all()
    centre = targets[found.target, 2:4] * torch.tensor([GRID[1], GRID[0]]) - torch.stack((found.column, found.row), dim=1)
    assert (centre >= -0.5).all()
    assert (centre <= 1.5).all()
    size = targets[found.target, 4:6] * torch.tensor([GRID[1] * STRIDE, GRID[0] * STRIDE]) / anchors[found.anchor]
    assert (size < 4).all()
    assert (size > 0.25).all()
    claims = torch.stack(tuple(found), dim=1)
    inner = (targets[found.target, 2:4] < 1).all(dim=1)
    assert len(claims[inner].unique(dim=0)) == len(claims[inner]), "a pair comes twice"

"""Results of several processes come together as one process would have made them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from exolight.evaluation.records import ImageResult, gather


def result(image_id: int) -> ImageResult:
    rng = np.random.default_rng(image_id)
    count = image_id % 4  # some without detections
    return ImageResult(
        image_id, f"{image_id}.png", rng.random((count, 4), np.float32), rng.random(count, np.float32), np.zeros(count, np.int64),
        np.zeros((1, 4), np.float32), np.zeros(1, np.int64), np.zeros(1, bool),
    )  # fmt: skip


def worker(rank: int, parts: list[list[list[int]]], folder: str) -> None:
    dist.init_process_group("gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=2)
    for number, part in enumerate(parts):
        torch.save([image.name for image in gather([result(i) for i in part[rank]])], Path(folder, f"{number}-{rank}.pt"))
    dist.destroy_process_group()


def test_alone_it_sorts_and_drops_repeats() -> None:
    assert [image.image_id for image in gather([result(5), result(2), result(5)])] == [2, 5]
    assert gather([]) == []


def test_two_processes(tmp_path: Path) -> None:
    parts = [[[4, 0, 2], [1, 3, 0, 5, 7]], [[], [2, 1]], [[3, 1], []], [[], []]]  # uneven, repeated, one rank empty, both empty
    mp.spawn(worker, (parts, str(tmp_path)), nprocs=2)
    for number, (first, second) in enumerate(parts):
        expected = [image.name for image in gather([result(i) for i in first + second])]
        assert [torch.load(tmp_path / f"{number}-{rank}.pt") for rank in (0, 1)] == [expected, expected]


def test_detections_of_a_result() -> None:
    image = result(3)
    np.testing.assert_array_equal(image.detections.boxes, image.boxes)
    with pytest.raises(ValueError, match="not finite"):
        _ = image._replace(scores=np.full(3, np.nan, np.float32)).detections

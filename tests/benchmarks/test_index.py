"""benchmarks/index.py: its pictures are what it says, and are read in a process of their own."""

import sys
from pathlib import Path

import pytest

from exolight.data.annotations import read_yolo

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, no package
import index


@pytest.mark.parametrize("reader", index.READERS)
def test_pictures_are_indexed(tmp_path: Path, reader: str) -> None:
    index.write(tmp_path, 20)
    found = read_yolo(tmp_path)
    assert [image.path.suffix for image in found.images if image.path] == [".jpg", ".png"] * 10
    assert {image.image_hw for image in found.images} == {index.HW}
    index.forget(tmp_path)
    pictures, boxes, *seconds = index.measured(reader, tmp_path)
    assert (pictures, boxes) == (20, 100)
    assert all(value >= 0 for value in seconds)
    assert seconds[2] >= seconds[0]

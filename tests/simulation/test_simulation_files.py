"""A simulated data set written to files is read back as it was."""

import numpy as np
import pytest

from exolight.data.annotations import read_coco
from exolight.errors import InputError
from exolight.simulation.files import write_files
from exolight.simulation.pool import simulate


def test_written_files_are_read_back(tmp_path):
    dataset = simulate(count=3, image_hw=(96, 128), pixel_size_nm=2.5, seed=4)
    write_files(dataset, tmp_path / "out")
    again = read_coco(tmp_path / "out")
    assert again.class_names == ["exosome"]
    assert sum(len(i.boxes) for i in again.images) > 0
    for image, copy in zip(dataset.images, sorted(again.images, key=lambda i: i.name), strict=True):
        micrograph = copy.read()
        assert np.array_equal(micrograph.pixels, image.read().pixels)
        assert micrograph.pixel_size_nm == pytest.approx(2.5, rel=1e-6)
        assert np.allclose(copy.boxes, image.boxes, atol=1e-3)
        assert np.array_equal(copy.ignore, image.ignore)


def test_an_occupied_folder_is_refused(tmp_path):
    (tmp_path / "precious.txt").write_text("mine")
    with pytest.raises(InputError, match="already holds files"):
        write_files(simulate(count=1, image_hw=(64, 64)), tmp_path)

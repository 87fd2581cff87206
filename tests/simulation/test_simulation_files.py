"""A simulated data set on the disk, read back by what reads the users' own; and the command that writes it."""

import csv
import json
import os
import runpy
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from hydra.utils import instantiate
from quiet_fields import BUSY

from exolight.data.annotations import read_coco, read_masks, read_yolo
from exolight.errors import InputError
from exolight.micrograph import read_micrograph
from exolight.polygons import polygon_area
from exolight.simulation.files import COLUMNS, coco_rows, write_files, yolo_text
from exolight.simulation.picture import Picture, Truth, instance_mask
from exolight.simulation.source import picture

REPOSITORY = Path(__file__).parents[2]
HW, SIZES, SEED, COUNT = (96, 128), (2.0, 3.0), 4, 6


class Written(NamedTuple):
    """A data set, what made it, and the number that came back."""

    root: Path
    pictures: list[Picture]
    truths: list[Truth]
    vesicles: int


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Written:
    root = tmp_path_factory.mktemp("files") / "new" / "set"
    vesicles = write_files(root, COUNT, SEED, HW, SIZES, BUSY)
    pictures = [picture(BUSY, HW, SIZES, SEED, index) for index in range(COUNT)]
    truths = [made.truth() for made in pictures]
    assert sum(truth.ignore.sum() for truth in truths) > 1  # or the tests below would not see them
    return Written(root, pictures, truths, vesicles)


def stems() -> list[str]:
    return [f"simulated_{index:05d}" for index in range(COUNT)]


def test_pictures_and_their_pixel_size_are_read_back(written: Written) -> None:
    assert sorted(path.name for path in (written.root / "images").iterdir()) == [f"{stem}.tif" for stem in stems()]
    for stem, made in zip(stems(), written.pictures, strict=True):
        micrograph = read_micrograph(written.root / "images" / f"{stem}.tif")
        assert micrograph.pixels.dtype == made.pixels().dtype
        np.testing.assert_array_equal(micrograph.pixels, made.pixels())
        assert micrograph.pixel_size_nm == pytest.approx(made.grid.pixel_size_nm, rel=1e-5)
        assert micrograph.pixel_size_source == "ImageJ TIFF"


def test_sixteen_bits_are_kept(tmp_path: Path) -> None:
    deep = replace(BUSY, instrument=replace(BUSY.instrument, sixteen_bit_fraction=1.0))
    write_files(tmp_path, 1, 0, HW, (2.5, 2.5), deep)
    micrograph = read_micrograph(tmp_path / "images" / "simulated_00000.tif")
    assert micrograph.pixels.dtype == np.uint16
    assert micrograph.pixels.max() > 255
    assert micrograph.pixel_size_nm == pytest.approx(2.5, rel=1e-5)


def test_coco_is_read_back(written: Written) -> None:
    images, names = read_coco(written.root)
    assert names == ["exosome"]
    assert len(images) == COUNT
    for image, stem, truth, made in zip(sorted(images, key=lambda i: i.name), stems(), written.truths, written.pictures, strict=True):
        assert Path(image.name).stem == stem
        np.testing.assert_allclose(image.boxes, truth.boxes, atol=0.01)
        np.testing.assert_array_equal(image.ignore, truth.ignore)  # as crowds
        assert image.pixel_size_nm == pytest.approx(made.grid.pixel_size_nm)
        assert image.outlines is not None
        for outline, wanted in zip(image.outlines, truth.outlines, strict=True):
            np.testing.assert_allclose(outline, wanted, atol=0.011)


def test_coco_ids_and_what_else_is_known(written: Written) -> None:
    content = json.loads((written.root / "annotations.json").read_text("utf-8"))
    assert [entry["id"] for entry in content["annotations"]] == list(range(1, sum(len(truth.boxes) for truth in written.truths) + 1))
    assert written.vesicles == sum(not entry["iscrowd"] for entry in content["annotations"]) == sum((~truth.ignore).sum() for truth in written.truths)
    for number, truth in enumerate(written.truths, start=1):
        rows = [entry for entry in content["annotations"] if entry["image_id"] == number]
        assert [row["morphology"] for row in rows] == list(truth.morphology)
        np.testing.assert_allclose([row["diameter_nm"] for row in rows], truth.diameters_nm, atol=1e-3)
        np.testing.assert_allclose([row["visible"] for row in rows], truth.visible, atol=1e-4)
        np.testing.assert_allclose([row["overlap"] for row in rows], truth.overlap, atol=1e-4)
        np.testing.assert_allclose([row["area"] for row in rows], [polygon_area(outline) for outline in truth.outlines], rtol=1e-5)
        assert {row["category_id"] for row in rows} <= {1}


def test_yolo_is_read_back_without_what_counts_neither_way(written: Written) -> None:
    images, names = read_yolo(written.root)
    assert names == ["exosome"]
    assert len(images) == COUNT
    for image, stem, truth in zip(sorted(images, key=lambda i: i.name), stems(), written.truths, strict=True):
        assert Path(image.name).stem == stem
        np.testing.assert_allclose(image.boxes, truth.boxes[~truth.ignore], atol=0.01)
        assert not image.ignore.any()
    described = yaml.safe_load((written.root / "data.yaml").read_text("utf-8"))
    assert (described["nc"], described["names"]) == (1, ["exosome"])


def test_masks_are_read_back(written: Written) -> None:
    """In whole pixels, so half a pixel beside the outline on the average and a little more than one at most."""
    images, _ = read_masks(written.root)
    sides = []
    for image, stem, truth in zip(sorted(images, key=lambda i: i.name), stems(), written.truths, strict=True):
        assert Path(image.name).stem == stem
        mask = cv2.imread(str(written.root / "masks" / f"{stem}.png"), cv2.IMREAD_UNCHANGED)
        assert mask is not None
        assert mask.dtype == np.uint16
        np.testing.assert_array_equal(mask, instance_mask(truth, HW))
        seen = np.array([(mask == i + 1).any() for i in range(len(truth.boxes))])
        assert len(image.boxes) == seen.sum()
        alone = (truth.overlap == 0) & seen
        sides.append(np.abs(image.boxes[alone[seen]] - truth.boxes[alone]))
    beside = np.concatenate(sides)
    assert len(beside) > 3
    assert beside.max() < 1.1
    assert beside.mean() < 0.75


def test_the_table_of_vesicles(written: Written) -> None:
    with (written.root / "vesicles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert tuple(rows[0]) == COLUMNS
    assert len(rows) == sum(len(truth.boxes) for truth in written.truths)
    for stem, truth, made in zip(stems(), written.truths, written.pictures, strict=True):
        of_this = [row for row in rows if row["image"] == f"{stem}.tif"]
        assert [int(row["number"]) for row in of_this] == list(range(1, len(truth.boxes) + 1))  # the mask's numbers
        boxes = np.array([[float(row[key]) for key in ("x1", "y1", "x2", "y2")] for row in of_this]).reshape(-1, 4)
        np.testing.assert_allclose(boxes, truth.boxes, atol=0.006)
        np.testing.assert_allclose([float(row["diameter_nm"]) for row in of_this], truth.diameters_nm, atol=0.006)
        np.testing.assert_allclose([float(row["visible"]) for row in of_this], truth.visible, atol=6e-4)
        np.testing.assert_allclose([float(row["overlap"]) for row in of_this], truth.overlap, atol=6e-4)
        assert [row["morphology"] for row in of_this] == list(truth.morphology)
        assert [bool(int(row["ignore"])) for row in of_this] == truth.ignore.tolist()
        np.testing.assert_allclose([float(row["nm_per_pixel"]) for row in of_this], made.grid.pixel_size_nm, rtol=1e-4)


def _truth() -> Truth:
    outlines = (np.array([(10, 20), (30, 20), (30, 50), (10, 50)], np.float32), np.array([(0, 0), (4, 0), (0, 3)], np.float32))
    boxes = np.array([(10, 20, 30, 50), (0, 0, 4, 3)], np.float32)
    numbers = np.array([1, 0.125], np.float32)
    return Truth(boxes, outlines, np.array([70, 60], np.float32), ("cup", "solid"), numbers, 1 - numbers, np.array([False, True]))


def test_rows_by_hand() -> None:
    square, corner = coco_rows(_truth())
    assert (square["bbox"], square["area"], square["iscrowd"], square["morphology"]) == ([10, 20, 20, 30], 600, 0, "cup")
    assert square["segmentation"] == [[10, 20, 30, 20, 30, 50, 10, 50]]
    assert (corner["bbox"], corner["area"], corner["iscrowd"], corner["diameter_nm"]) == ([0, 0, 4, 3], 6, 1, 60)
    assert (corner["visible"], corner["overlap"]) == (0.125, 0.875)


def test_lines_by_hand() -> None:
    assert yolo_text(_truth(), (100, 200)) == "0 0.100000 0.350000 0.100000 0.300000\n"


@pytest.mark.parametrize("occupied", ["folder", "file"])
def test_an_occupied_place_is_refused_and_left_alone(tmp_path: Path, occupied: str) -> None:
    precious = tmp_path / "precious.txt"
    precious.write_text("mine")
    with pytest.raises(InputError, match=r"out=.*already holds files"):
        write_files(tmp_path if occupied == "folder" else precious, 1, 0, HW, SIZES, BUSY)
    assert [path.name for path in tmp_path.iterdir()] == ["precious.txt"]
    assert precious.read_text() == "mine"


# The command --------------------------------------------------------------------------------------------------------------------------------------------------


def command(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """``python -m exolight.simulation`` in a process of its own: Hydra's disabled logging would silence the loggers of this one."""
    environment = os.environ | {"PYTHONPATH": str(REPOSITORY)}
    words = [sys.executable, "-m", "exolight.simulation", *arguments]
    return subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_the_command_writes_the_preset_asked_for_in_any_process(tmp_path: Path) -> None:
    done = command(tmp_path, "out=hard", "count=2", "seed=3", "simulation=hard", "image_hw=[96,128]")
    assert (done.returncode, done.stderr) == (0, "")
    with initialize_config_dir(str(REPOSITORY / "conf"), version_base="1.3"):
        config = compose("simulate", ["simulation=hard"])
        hard = instantiate(config.simulation, _convert_="all")
    vesicles = 0
    for index in range(2):
        made = picture(hard, (96, 128), tuple(config.pixel_size_nm), 3, index)
        micrograph = read_micrograph(tmp_path / "hard" / "images" / f"simulated_{index:05d}.tif")
        np.testing.assert_array_equal(micrograph.pixels, made.pixels())  # drawn in another process
        assert micrograph.pixel_size_nm == pytest.approx(made.grid.pixel_size_nm, rel=1e-5)
        vesicles += int((~made.truth().ignore).sum())
    assert done.stdout == f"2 pictures with {vesicles} vesicles are in hard\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hard"]  # and Hydra leaves nothing


def test_a_wrong_value_is_one_clear_line(tmp_path: Path) -> None:
    done = command(tmp_path, "out=new", "count=1", "simulation.film.drift=[2,1]")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("error: simulation.drift=")
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(("argument", "said"), [("simulation=hrad", "did you mean simulation=hard?"), ("cuont=3", "did you mean count=?")])
def test_what_is_mistyped_is_one_clear_line(
    argument: str, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["simulation", f"out={tmp_path / 'new'}", argument])
    with pytest.raises(SystemExit) as left:
        runpy.run_module("exolight.simulation", run_name="__main__")
    assert left.value.code == 2
    error = capfd.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert said in error
    assert not (tmp_path / "new").exists()

"""docs/recipe.md from end to end: TIFFs of a camera, rectangles of makesense.ai, a training, diameters in nm, corrections, a second training."""

import csv
import importlib.util
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pandas as pd
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.data.convert import main as convert
from exolight.micrograph import read_micrograph
from exolight.simulation.source import simulate

sys.path.insert(0, str(Path(__file__).parent / "micrograph"))  # where the cameras' files are written
from microscope_files import sis_tiff

NM_PER_PIXEL = 2.0
HW = (240, 320)
COLUMNS = ("label_name", "bbox_x", "bbox_y", "bbox_width", "bbox_height", "image_name", "image_width", "image_height")

Program = Callable[..., Any]
Box = Sequence[float]


@pytest.fixture(scope="module")
def predict_program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("predict", Path(__file__).parents[1] / "predict.py")
    assert spec
    assert spec.loader
    program = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(program)
    return program


def grid(folder: Path) -> dict[str, AnnotatedImage]:
    """Six fields, 16 bit, in the TIFF of an Olympus camera, which tells the pixel size in metres; what is on them by name."""
    folder.mkdir()
    fields = {f"field {number}": image for number, image in enumerate(simulate(6, HW, NM_PER_PIXEL, seed=1).images)}
    for name, image in fields.items():
        pixels = image.read().pixels.astype(np.uint16) * 200
        sis_tiff(folder / f"{name}.tif", pixels, NM_PER_PIXEL, NM_PER_PIXEL, -9)
    return fields


def makesense(path: Path, boxes: dict[str, Sequence[Box]], hw: tuple[int, int]) -> int:
    """Rectangles as makesense.ai exports them: whole pixels, pictures without any not named. Returns how many there are."""
    rows = [("exosome", round(x1), round(y1), round(x2 - x1), round(y2 - y1), name, hw[1], hw[0]) for name, drawn in boxes.items() for x1, y1, x2, y2 in drawn]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([COLUMNS, *rows])
    return len(rows)


def test_from_micrographs_to_diameters_and_round_again(train_program: Program, predict_program: ModuleType, tmp_path: Path, capsys: Any) -> None:
    pictures = tmp_path / "EV grid 3 (donor 2)"
    fields = grid(pictures)

    # Copies that a browser shows, drawn on; the table comes to lie beside the originals.
    assert convert([f"source={pictures}", "format=pictures", "pictures=png", f"out={tmp_path}/to draw on"]) == 0
    copies = sorted(path.name for path in (tmp_path / "to draw on/images").iterdir())
    assert copies == [f"{name}.png" for name in fields]
    first = read_micrograph(tmp_path / "to draw on/images" / copies[0])
    assert first.pixels.dtype == np.uint8
    assert first.pixels.shape == HW
    drawn = {f"{name}.png": image.boxes.tolist() for name, image in fields.items()}
    count = makesense(pictures / "labels_grid-3_2026-01-31-12-00-00.csv", drawn, HW)
    assert count > 10

    small = ["data.image_size=96", "data.batch_size=2", "data.num_workers=0", "trainer.max_epochs=1", "logger=none", "~callbacks.progress"]
    data = ["data=folder", f"data.root={pictures}", "data.cache_folder=null", "data.split=all"]
    run = train_program(*data, *small, "init=random", f"hydra.run.dir={tmp_path}/trained", figures=False)
    assert run.status == 0, run.err
    assert f"6 pictures with {count} objects" in run.out
    assert "classes: exosome" in run.out
    assert "1 of 6 pictures have no annotation and count as pictures without objects, first field 4.tif" in run.out

    # An untrained detector sees vesicles everywhere, so a hundred is enough of them.
    options = [f"checkpoint={tmp_path}/trained/checkpoints/best.ckpt", "thresholds.score=0.0001", "thresholds.max_detections=100", "quality=ignore"]
    assert predict_program.main([str(pictures), *options, f"output={tmp_path}/predicted", "overlays=false"]) == 0
    assert "nm" in capsys.readouterr().out
    table = pd.read_csv(tmp_path / "predicted/images.csv")
    assert set(table["pixel_size_source"]) == {"Olympus SIS TIFF"}
    np.testing.assert_allclose(table["pixel_size_nm"], NM_PER_PIXEL)
    vesicles = pd.read_csv(tmp_path / "predicted/detections.csv")
    assert len(vesicles) > 20
    sides = (vesicles["x2"] - vesicles["x1"]) * (vesicles["y2"] - vesicles["y1"])
    np.testing.assert_allclose(vesicles["diameter_nm"], NM_PER_PIXEL * np.sqrt(sides), atol=0.05)

    # What was found goes into the tool as COCO, which knows pictures by the names of the copies; it is corrected there, exported and trained on.
    correct = [f"source={tmp_path}/predicted", f"images={pictures}", "format=coco", "pictures=png", f"out={tmp_path}/to correct"]
    assert convert(correct) == 0
    content = json.loads((tmp_path / "to correct/annotations.json").read_text("utf-8"))
    assert sorted(image["file_name"] for image in content["images"]) == copies
    assert len(content["annotations"]) == len(vesicles)
    names = {image["id"]: image["file_name"] for image in content["images"]}
    kept: dict[str, list[Box]] = {name: [] for name in copies}
    for annotation in content["annotations"]:
        x, y, width, height = annotation["bbox"]
        if min(width, height) > 12 and len(kept[names[annotation["image_id"]]]) < 3:
            kept[names[annotation["image_id"]]].append((x, y, x + width, y + height))
    (pictures / "labels_grid-3_2026-01-31-12-00-00.csv").unlink()
    count = makesense(pictures / "labels_corrected_2026-02-01-09-00-00.csv", kept, HW)
    again = [f"init.path={tmp_path}/trained/checkpoints/best.ckpt", "init=checkpoint", f"hydra.run.dir={tmp_path}/again"]
    run = train_program(*data, *small, *again, figures=False)
    assert run.status == 0, run.err
    assert f"6 pictures with {count} objects" in run.out
    assert (tmp_path / "again/checkpoints/best.ckpt").is_file()


def test_two_tables_of_the_same_pictures_are_told(train_program: Program, tmp_path: Path) -> None:
    """The mistake that is made most easily: the corrected table lies beside the first one."""
    pictures = tmp_path / "grid"
    fields = grid(pictures)
    for name in ("labels.csv", "labels_corrected.csv"):
        makesense(pictures / name, {"field 0.png": fields["field 0"].boxes.tolist()}, HW)
    run = train_program("data=folder", f"data.root={pictures}", "trainer.max_epochs=1", "init=random", "logger=none", f"hydra.run.dir={tmp_path}/run")
    assert run.status == 2
    assert "labels_corrected.csv:2: field 0.tif is listed twice, before in" in run.err
    assert "remove one of the two" in run.err


def test_the_format_is_insisted_on(train_program: Program, tmp_path: Path) -> None:
    pictures = tmp_path / "grid"
    makesense_boxes = {f"{name}.png": image.boxes.tolist() for name, image in grid(pictures).items()}
    count = makesense(pictures / "labels.csv", makesense_boxes, HW)
    (pictures / "field 0.xml").write_text("<annotation><filename>field 0.png</filename></annotation>")  # of an earlier attempt
    small = ["data.image_size=96", "data.batch_size=2", "data.num_workers=0", "trainer.max_epochs=1", "logger=none", "~callbacks.progress", "init=random"]
    arguments = ["data=folder", f"data.root={pictures}", "data.split=all", *small]
    run = train_program(*arguments, "data.format=makesense", f"hydra.run.dir={tmp_path}/run", figures=False)
    assert run.status == 0, run.err
    assert f"6 pictures with {count} objects" in run.out
    run = train_program(*arguments, f"hydra.run.dir={tmp_path}/voc", figures=False)
    assert "read as voc; it may be read as makesense, too: insist with format" in run.out
    run = train_program(*arguments, "data.format=via", f"hydra.run.dir={tmp_path}/via", figures=False)
    assert run.status == 2
    assert "there is no VIA annotation" in run.err

"""Which arguments are pictures and which are options, with the real configs."""

import os
from pathlib import Path

import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from exolight.errors import InputError
from exolight.inference.command_line import Command, choose_thresholds, default_checkpoint, describe, read_command
from exolight.inference.pixel_sizes import PixelSize
from exolight.thresholds import Thresholds

CONF = Path(__file__).parents[2] / "conf"


@pytest.fixture(autouse=True)
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.ckpt").touch()


def read(*arguments: str) -> Command:
    return read_command([*arguments], CONF) if any(a.startswith("checkpoint=") for a in arguments) else read_command([*arguments, "checkpoint=a.ckpt"], CONF)


def test_paths_and_options_are_told_apart() -> None:
    paths = ["EV grid 3 (donor 2)", "run=3/a.tif", "Proença, 2.png", "thresholds", "my thresholds=x.png", "${oops}", "tiles=512"]
    command = read(*paths, "thresholds=strict", "thresholds.score=0.4", "pixel_size=1.5", "output=out")
    assert command.paths == paths
    assert command.thresholds["score"] == 0.4
    assert command.thresholds["iou"] == 0.45
    assert command.pixel_size == PixelSize(1.5)
    assert command.output == Path("out")
    assert (command.device, command.backend, command.batch_size) == ("auto", "auto", None)
    assert read("batch_size=3").batch_size == 3
    assert [read(f"quality={value}").quality for value in ("check", "ignore", "none")] == ["check", "ignore", "none"]
    assert command.quality == "check"
    assert (command.tile, command.augmented, command.overlays, command.truth, command.chosen) == ("auto", False, True, None, False)
    command = read("tile=640", "tta=true", "overlays=false", "truth=truth, 2 (new)", "backend=onnx")
    assert (command.tile, command.augmented, command.overlays, command.truth, command.backend) == (640, True, False, Path("truth, 2 (new)"), "onnx")
    assert read("tile=none").tile is read("tile=null").tile is None


def test_a_file_whose_name_looks_like_an_option_is_a_file() -> None:
    Path("tile=512.png").touch()
    command = read("tile=512.png", "tile=none")
    assert command.paths == ["tile=512.png"]
    assert command.tile is None


@pytest.mark.parametrize("name", ["Proença", "EV (1)", "12_µm", "exo, 2", "run=3", "${x}", "it's", 'a"b', "a\\b", "[x]", "{y}", " edge "])
def test_checkpoint_and_output_are_verbatim(name: str) -> None:
    Path(name).mkdir()
    Path(name, "a.ckpt").touch()
    command = read(f"checkpoint={name}/a.ckpt", f"output=out {name}")
    assert command.checkpoint == Path(name, "a.ckpt")
    assert command.output == Path(f"out {name}")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("checkpoint=missing.ckpt", "no such file"),
        ("thresholds=loose", "thresholds/loose"),
        ("thresholds.scroe=0.3", "scroe"),
        ("pixel_size=big", "a number"),
        ("pixel_size=-1", "pixel size"),
        ("pixel_size=true", "a number"),
        ("pixel_size=scalebra", "pixel_size=scalebra: a number of nanometres per pixel is needed, or scalebar"),
        ("scalebar_nm=0", "scalebar_nm=0: a bar has a length above 0"),
        ("scalebar_nm=-5", "scalebar_nm=-5: a bar has a length above 0"),
        ("scalebar_nm=inf", "scalebar_nm=inf: a bar has a length above 0"),
        ("scalebar_nm=500nm", "scalebar_nm=500nm: a number is needed"),
        ("batch_size=2.5", "whole number"),
        ("tile=big", "auto, none or a number"),
        ("tile=1.5", "auto, none or a number"),
        ("tile=true", "auto, none or a number"),
        ("tta=2", "true or false"),
        ("output=", "nothing stands behind it"),
        ("truth=", "nothing stands behind it"),
        ("overlays=maybe", "true or false"),
        ("quality=bad", "check .*, ignore or none"),
    ],
)
def test_mistakes_are_one_line(argument: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as caught:
        read("a.png", argument)
    assert "\n" not in str(caught.value)


def test_the_scale_bar_as_pixel_size() -> None:
    assert read().pixel_size == PixelSize()
    assert read("pixel_size=scalebar").pixel_size == PixelSize(scale_bar=True)
    assert read("scalebar_nm=500").pixel_size == read("scalebar_nm=500", "pixel_size=scalebar").pixel_size == PixelSize(scale_bar=True, scale_bar_nm=500)
    with pytest.raises(InputError, match=r"pixel_size=1\.5 and a scale bar both say how large a pixel is"):
        read("pixel_size=1.5", "scalebar_nm=500")
    asked = [(), ("pixel_size=2",), ("pixel_size=scalebar",), ("scalebar_nm=500",), ("scalebar_nm=200",)]
    settings = [read(*arguments).settings() for arguments in asked]  # an interrupted prediction goes on only where they are the same
    assert all(settings.count(one) == 1 for one in settings)
    assert settings[3]["scale_bar_nm"] == 500


def test_every_preset() -> None:
    expected = {"default": (0.25, 0.45), "strict": (0.5, 0.45), "evaluation": (0.001, 0.6), "best": (None, None)}
    assert {path.stem for path in (CONF / "thresholds").glob("*.yaml")} == set(expected)
    for name, (score, iou) in expected.items():
        values = read(f"thresholds={name}").thresholds
        assert (values["score"], values["iou"], values["max_detections"]) == (score, iou, 1000)
        filled, _ = choose_thresholds(values, None)
        assert instantiate(OmegaConf.create(values), score=filled.score, iou=filled.iou) == filled


def test_the_operating_point_is_the_default() -> None:
    asked = read().thresholds
    stored = Thresholds(score=0.37, iou=0.9)
    thresholds, source = choose_thresholds(asked, stored)
    assert (thresholds.score, thresholds.iou) == (0.37, 0.9)  # both were chosen together
    assert choose_thresholds(read("thresholds.iou=0.3").thresholds, stored)[0].iou == 0.3
    assert choose_thresholds(asked, None)[0].iou == 0.45
    assert "operating point" in source
    assert choose_thresholds(asked, None)[0].score == 0.25
    assert choose_thresholds(read("thresholds=strict").thresholds, stored)[0].score == 0.5
    assert choose_thresholds(read("thresholds.score=0.4").thresholds, stored)[0].score == 0.4


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("thresholds.score=high", "a number"),
        ("thresholds.score=3", "0 to 1"),
        ("thresholds.max_detections=2.5", "whole number"),
        ("thresholds.class_agnostic=1", "true or false"),
        ("thresholds.max_detections=null", "whole number"),
    ],
)
def test_impossible_thresholds(argument: str, words: str) -> None:
    with pytest.raises(InputError, match=words):
        choose_thresholds(read(argument).thresholds, None)


@pytest.fixture
def shipped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the detector that comes with exolight would be."""
    monkeypatch.setattr("exolight.inference.command_line.SHIPPED", tmp_path / "simulated_n.ckpt")
    return tmp_path / "simulated_n.ckpt"


def test_without_a_finished_run_the_shipped_detector_is_taken(shipped: Path) -> None:
    with pytest.raises(InputError, match=r"no checkpoint given, and no finished training run .*simulated_n\.ckpt: give checkpoint=FILE") as caught:
        default_checkpoint()
    assert "\n" not in str(caught.value)
    shipped.touch()
    command = read_command(["a.png"], CONF)
    assert (command.checkpoint, command.chosen) == (shipped, True)
    said = describe(shipped, {"training_pictures": 1600, "data": "simulated"})
    assert said.startswith(f"no checkpoint= given: no training run has finished here, so taking the detector that comes with exolight, {shipped}; ")
    assert said.endswith("it has learned from simulated pictures only and may not fit these pictures")


def test_the_newest_finished_run_is_taken(shipped: Path) -> None:
    shipped.touch()
    for time, name in enumerate(["2026-01-02", "2026-01-01", "2026-01-03"]):
        folder = Path("outputs/train", name)
        (folder / "checkpoints").mkdir(parents=True)
        (folder / "checkpoints" / "best.ckpt").touch()
        if name != "2026-01-03":  # still training, or died
            (folder / "metrics.json").touch()
            os.utime(folder / "metrics.json", (time, time))
    newest = default_checkpoint()
    assert newest == Path("outputs/train/2026-01-01/checkpoints/best.ckpt")
    assert read_command(["a.png"], CONF).chosen
    said = describe(newest, {"training_pictures": 40, "data": "/grids"})
    assert f"{newest}, trained until 20" in said
    assert "on 40 pictures of /grids; it may not fit" in said
    assert "does not tell" in describe(newest, {})
    assert read_command(["a.png"], CONF).checkpoint == newest

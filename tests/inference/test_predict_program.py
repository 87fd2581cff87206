"""predict.py from its arguments to its exit status, with an untrained detector."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest
import torch

from exolight.checkpoint import KEY, PREFIX, load_detector, slim, write_atomically
from exolight.models.detector import Detector
from exolight.thresholds import Thresholds

PROGRAM = Path(__file__).parents[2] / "predict.py"


def film(seed: int, hw: tuple[int, int]) -> np.ndarray:
    """A picture of a quality that can be analysed: grain of all sizes."""
    rng = np.random.default_rng(seed)
    grain = sum(sigma * cv2.GaussianBlur(rng.standard_normal(hw).astype(np.float32), (0, 0), sigma) for sigma in (1, 3, 9))
    return np.clip(128 + 20 * grain + 2 * rng.standard_normal(hw), 0, 255).astype(np.uint8)


@pytest.fixture(scope="module")
def program() -> ModuleType:
    spec = importlib.util.spec_from_file_location("predict", PROGRAM)
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def workplace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a checkpoint and a folder of two pictures, one not square."""
    monkeypatch.chdir(tmp_path)
    arguments = {"backbone": {"name": "cs3darknet_focus_n"}, "neck": {"depth_multiple": 0.33, "width_multiple": 0.25}, "class_names": ["exosome"]}
    detector = Detector(**arguments)
    facts = {"detector": detector.config(), "image_size": 64, "thresholds": asdict(Thresholds(score=0.002, iou=0.6))}
    weights = {PREFIX + name: value for name, value in detector.state_dict().items()}
    write_atomically({KEY: facts, "state_dict": weights}, tmp_path / "best µ.ckpt")
    folder = tmp_path / "EV grid 3 (donor 2)"
    folder.mkdir()
    for name, shape in (("exo, 2.png", (80, 120)), ("Proença.tif", (64, 64))):
        pixels = film(0, shape)
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
    return tmp_path


def test_all_well(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "pixel_size=1.5", "output=out", "device=cpu"]) == 0
    said = capsys.readouterr().out
    assert "score threshold 0.002 (the checkpoint's operating point)" in said
    threads = torch.get_num_threads()
    assert (f" ms suppression, {threads} side by side" if threads > 1 else " ms suppression\n") in said
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["thresholds"]["score"] == 0.002
    assert len(summary["settings"]["weights_sha256"]) == 64
    images, vesicles = pd.read_csv("out/images.csv"), pd.read_csv("out/detections.csv")
    assert images["image"].tolist() == ["Proença.tif", "exo, 2.png"]
    assert images["count"].sum() == len(vesicles) == summary["vesicles"]
    assert images["pixel_size_nm"].tolist() == [1.5, 1.5]
    assert len(list(Path("out/overlays").iterdir())) == len(list(Path("out/labels").iterdir())) == 2


def test_sized_by_the_scale_bar(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pixels = np.random.default_rng(0).normal(120, 15, (300, 400)).clip(0, 255).astype(np.uint8)
    cv2.imwrite("without.png", pixels)
    pixels[270:276, 200:300] = 255
    cv2.putText(pixels, "200 nm", (205, 260), cv2.FONT_HERSHEY_SIMPLEX, 0.7, 255, 2, cv2.LINE_AA)
    cv2.imwrite("with.png", pixels)
    arguments = ["with.png", "without.png", "checkpoint=best µ.ckpt", "device=cpu", "backend=torch", "quality=ignore"]
    assert program.main([*arguments, "pixel_size=scalebar", "output=out"]) == 0
    images = pd.read_csv("out/images.csv").set_index("image")
    assert images.loc["with.png", "pixel_size_nm"] == pytest.approx(2.0, rel=0.01)
    assert images.loc["with.png", "pixel_size_source"].startswith("scale bar (200 nm, confidence 0.9")
    assert np.isnan(images.loc["without.png", "pixel_size_nm"])
    assert "no scale bar was found: sized in px only" in images.loc["without.png", "warning"]
    assert "no scale bar was found" in capsys.readouterr().out
    assert json.loads(Path("out/summary.json").read_text(encoding="utf-8"))["settings"]["scale_bar"] is True
    overlay = cv2.imread("out/overlays/with.png")
    assert (overlay[268, 198:302] == (90, 255, 90)).all()  # a frame around the bar
    assert not (cv2.imread("out/overlays/without.png") == (90, 255, 90)).all(axis=2).any()
    assert program.main([*arguments, "scalebar_nm=500", "output=given"]) == 0
    assert pd.read_csv("given/images.csv").set_index("image").loc["with.png", "pixel_size_nm"] == pytest.approx(5.0, rel=0.01)


def test_without_a_checkpoint_the_shipped_detector(
    program: ModuleType, workplace: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    shipped = workplace / "weights" / "simulated_n.ckpt"
    write_atomically(slim(load_detector("best µ.ckpt")), shipped)
    monkeypatch.setattr("exolight.inference.command_line.SHIPPED", shipped)
    assert program.main(["EV grid 3 (donor 2)", "output=out", "device=cpu", "backend=torch"]) == 0
    said = capsys.readouterr().out
    assert f"taking the detector that comes with exolight, {shipped}; it has learned from simulated pictures only and may not fit" in said
    assert "score threshold 0.002 (the checkpoint's operating point)" in said
    settings = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))["settings"]
    assert (settings["checkpoint"], settings["weights_sha256"]) == (str(shipped), load_detector(shipped).info["weights_sha256"])


def test_nothing_found_is_a_result(program: ModuleType, workplace: Path) -> None:
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "thresholds.score=1", "output=out", "device=cpu"]) == 0
    assert pd.read_csv("out/images.csv")["count"].tolist() == [0, 0]


def test_what_is_only_noise_is_no_result(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (160, 160)).astype(np.uint8)
    Path("EV grid 3 (donor 2)", "noise.png").write_bytes(cv2.imencode(".png", noise)[1].tobytes())
    arguments = ["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "device=cpu"]
    assert program.main([*arguments, "output=out"]) == 0
    assert "not analysable: 1 of 3 pictures (1 nearly empty)" in capsys.readouterr().out
    assert pd.read_csv("out/images.csv").set_index("image")["count"].isna().to_dict() == {"Proença.tif": False, "exo, 2.png": False, "noise.png": True}
    assert program.main([*arguments, "output=all", "quality=ignore"]) == 0
    assert "not analysable" not in capsys.readouterr().out
    assert pd.read_csv("all/images.csv")["count"].notna().all()


def test_a_corrupt_picture_is_listed_and_the_others_are_done(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("EV grid 3 (donor 2)", "m.png").write_bytes(b"oops")
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "output=out", "device=cpu"]) == 1
    assert "m.png" in capsys.readouterr().err
    assert pd.read_csv("out/images.csv")["error"].isna().sum() == 2


HOSTILE = ["Proença.png", "EV (1).png", "12_µm.png", "exo, 2.png", "run=3.png", "${x}.png", "it's.png", 'a"b.png', "[x].png", "{y}.png", " edge .png", "*.png",
           "a;b.png", "-m.png", "~x.png", "checkpoint.png", "名.png", "e\u0301.png", "%d.png", "#1.png", "@a.png"]  # fmt: skip


def test_hostile_names(program: ModuleType, workplace: Path) -> None:
    folder = workplace / "a=b, [c] {d} ${e}"
    folder.mkdir()
    data = (workplace / "EV grid 3 (donor 2)" / "exo, 2.png").read_bytes()
    for name in HOSTILE:
        (folder / name).write_bytes(data)
    assert program.main([*(f"{folder.name}/{name}" for name in HOSTILE), "checkpoint=best µ.ckpt", "output=out, = [1]", "device=cpu"]) == 0
    assert pd.read_csv("out, = [1]/images.csv")["image"].tolist() == HOSTILE
    assert len(list(Path("out, = [1]/labels").iterdir())) == len(list(Path("out, = [1]/overlays").iterdir())) == len(HOSTILE)


@pytest.mark.skipif(os.name == "nt", reason="names are Unicode there")
def test_a_name_that_is_not_utf8(workplace: Path) -> None:
    data = (workplace / "EV grid 3 (donor 2)" / "exo, 2.png").read_bytes()
    folder = workplace / "old zip"
    folder.mkdir()
    try:
        Path(os.fsdecode(os.fsencode(folder) + b"/caf\xe9.png")).write_bytes(data)
    except OSError:
        pytest.skip("this file system takes only UTF-8")
    run = subprocess.run([sys.executable, PROGRAM, "old zip", "checkpoint=best µ.ckpt", "output=out", "device=cpu", "backend=torch"], capture_output=True)
    assert (run.returncode, run.stderr) == (0, b"")
    assert json.loads(Path("out/detections.coco.json").read_text(encoding="utf-8"))["images"][0]["file_name"] == "caf\udce9.png"
    assert b"caf\xe9.png" in Path("out/images.csv").read_bytes()


def test_what_the_system_refuses_is_one_line(workplace: Path) -> None:
    Path("file").touch()
    run = subprocess.run([sys.executable, PROGRAM, "EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "output=file/out"], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.count("\n") == 1


def test_scored_against_the_truth(program: ModuleType, workplace: Path) -> None:
    images = [{"id": 1, "file_name": "exo, 2.png", "width": 120, "height": 80}]
    objects = [{"id": 1, "image_id": 1, "category_id": 1, "bbox": [10, 10, 40, 40]}]
    Path("truth, 1.json").write_text(json.dumps({"images": images, "annotations": objects, "categories": [{"id": 1, "name": "vesicle"}]}))
    arguments = ["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "device=cpu", "thresholds.score=0.01", "backend=torch"]
    assert program.main([*arguments, "output=with", "truth=truth, 1.json"]) == 0
    metrics = json.loads(Path("with/metrics.json").read_text(encoding="utf-8"))
    assert (metrics["format"], metrics["pictures"], metrics["pictures_without_truth"], metrics["threshold"]) == ("coco", 1, 1, 0.01)
    assert program.main([*arguments, "output=without"]) == 0
    assert Path("with/detections.csv").read_text() == Path("without/detections.csv").read_text()
    assert sorted(path.name for path in Path("with").iterdir()) == sorted(["metrics.json", *(path.name for path in Path("without").iterdir())])


@pytest.mark.skipif(os.name == "nt", reason="such signals cannot be sent there")
def test_interrupted_twice_and_started_again(workplace: Path) -> None:
    """Killed, started again and interrupted, started again: one run of the whole, in the end as if nothing had happened."""
    many = workplace / "many"
    many.mkdir()
    for number in range(40):
        pixels = film(number, (900, 900))
        (many / f"{number:02}.png").write_bytes(cv2.imencode(".png", pixels)[1].tobytes())
    # large pictures and small batches, so that there is a middle to interrupt: a dozen is on its way at any time
    command = [sys.executable, str(PROGRAM), "many", "checkpoint=best µ.ckpt", "device=cpu", "backend=torch", "batch_size=2", "tile=none"]
    for signal_name, status, rows in (("SIGKILL", -9, 2), ("SIGINT", 130, 8)):
        running = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 120
        while not any(path.read_bytes().count(b"\n") > rows for path in workplace.glob("outputs/predict/*/images.csv")):
            assert running.poll() is None, "it was done before it could be interrupted"
            if time.monotonic() > deadline:
                running.kill()
                pytest.fail("nothing was predicted")
            time.sleep(0.005)
        running.send_signal(getattr(signal, signal_name))
        assert running.wait(timeout=60) == status
        (folder,) = workplace.glob("outputs/predict/*")
        assert not (folder / "summary.json").exists()

    last = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "going on in" in last.stdout
    assert list(workplace.glob("outputs/predict/*")) == [folder]
    assert not (folder / "unfinished.json").exists()
    subprocess.run([*command, "output=whole"], capture_output=True, check=True)
    for table in ("detections.csv", "labels/07.txt", "detections.coco.json"):
        assert (folder / table).read_text() == (workplace / "whole" / table).read_text()
    once, whole = (pd.read_csv(path / "images.csv").drop(columns=["read_ms", "network_ms", "suppression_ms"]) for path in (folder, workplace / "whole"))
    assert once.equals(whole)


def test_help(program: ModuleType, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["--help"]) == 0
    assert program.main([]) == 2
    assert "thresholds=best" in capsys.readouterr().out


def test_a_mistake_is_one_line_without_traceback(workplace: Path) -> None:
    run = subprocess.run([sys.executable, PROGRAM, "missing folder", "checkpoint=best µ.ckpt"], capture_output=True, text=True)
    assert run.returncode == 2
    assert run.stderr.startswith("missing folder: no such file or folder")
    assert run.stderr.count("\n") == 1


def test_what_is_not_imported() -> None:
    """Training's libraries, and what takes a noticeable part of a prediction's start."""
    absent = ["lightning", "albumentations", "torchmetrics", "wandb", "matplotlib", "scipy", "pandas"]
    code = f"import sys; import predict; print(set({absent}) & set(sys.modules)); import wandb; print(wandb.__name__)"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True)
    assert (run.stdout.split("\n"), run.stderr) == (["set()", "wandb", ""], "")

"""predict.py from its arguments to its exit status, with an untrained detector."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pandas as pd
import pytest

from exolight.checkpoint import KEY, PREFIX, write_atomically
from exolight.models.detector import Detector
from exolight.thresholds import Thresholds

PROGRAM = Path(__file__).parents[2] / "predict.py"


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
        pixels = np.random.default_rng(0).integers(0, 255, shape).astype(np.uint8)
        (folder / name).write_bytes(cv2.imencode(Path(name).suffix, pixels)[1].tobytes())
    return tmp_path


def test_all_well(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "pixel_size=1.5", "output=out", "device=cpu"]) == 0
    assert "score threshold 0.002 (the checkpoint's operating point)" in capsys.readouterr().out
    summary = json.loads(Path("out/summary.json").read_text(encoding="utf-8"))
    assert summary["settings"]["thresholds"]["score"] == 0.002
    assert len(summary["settings"]["weights_sha256"]) == 64
    images, vesicles = pd.read_csv("out/images.csv"), pd.read_csv("out/detections.csv")
    assert images["image"].tolist() == ["Proença.tif", "exo, 2.png"]
    assert images["count"].sum() == len(vesicles) == summary["vesicles"]
    assert images["pixel_size_nm"].tolist() == [1.5, 1.5]
    assert len(list(Path("out/overlays").iterdir())) == len(list(Path("out/labels").iterdir())) == 2


def test_nothing_found_is_a_result(program: ModuleType, workplace: Path) -> None:
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "thresholds.score=1", "output=out", "device=cpu"]) == 0
    assert pd.read_csv("out/images.csv")["count"].tolist() == [0, 0]


def test_a_corrupt_picture_is_listed_and_the_others_are_done(program: ModuleType, workplace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("EV grid 3 (donor 2)", "m.png").write_bytes(b"oops")
    assert program.main(["EV grid 3 (donor 2)", "checkpoint=best µ.ckpt", "output=out", "device=cpu"]) == 1
    assert "m.png" in capsys.readouterr().err
    assert pd.read_csv("out/images.csv")["error"].isna().sum() == 2


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
    """Training's libraries. wandb is made unimportable first: timm takes it along where it is installed and does without where it is not."""
    code = "import sys; sys.modules['wandb'] = None; import predict; print({'lightning', 'albumentations', 'torchmetrics'} & set(sys.modules))"
    run = subprocess.run([sys.executable, "-c", code], cwd=PROGRAM.parent, capture_output=True, text=True)
    assert (run.stdout.strip(), run.stderr) == ("set()", "")

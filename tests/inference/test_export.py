"""Exported files: what they say about themselves, who may use them, and what cannot be exported."""

import json
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch

from exolight.checkpoint import KEY, PREFIX, load_detector, write_atomically
from exolight.errors import InputError
from exolight.inference import export as module
from exolight.inference import runtimes
from exolight.inference.export import export, main
from exolight.inference.runtimes import RUNTIMES, TorchNetwork, choose_network, random_pictures
from exolight.models.detector import Detector
from exolight.thresholds import Thresholds

NAME = "best, (µ) 2.ckpt"
SUFFIXES = {"onnx": ".onnx", "openvino": ".xml"}
CPU = torch.device("cpu")


def write_checkpoint(path: Path, seed: int = 0) -> None:
    torch.manual_seed(seed)
    detector = Detector({"name": "lcnet_035"}, {}, ['exosome "µ" <&>', "virus"])
    facts = {"detector": detector.config(), "image_size": 96, "thresholds": asdict(Thresholds(score=0.4)), "pixel_size_nm": 1.5}
    write_atomically({KEY: facts, "state_dict": {PREFIX + name: value for name, value in detector.state_dict().items()}}, path)


@pytest.fixture
def checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_checkpoint(tmp_path / NAME)
    return tmp_path / NAME


@pytest.mark.parametrize("format", SUFFIXES)
def test_the_file_stands_for_the_checkpoint(checkpoint: Path, format: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"checkpoint={NAME}", f"format={format}"]) == 0
    file = checkpoint.with_suffix(SUFFIXES[format])
    assert capsys.readouterr().out.startswith(f"{file.name}: against PyTorch on a random picture boxes differ by at most ")
    beside = {checkpoint.name, file.name} | ({file.with_suffix(".bin").name} if format == "openvino" else set())
    assert {path.name for path in checkpoint.parent.iterdir()} == beside

    loaded = load_detector(checkpoint)
    facts = RUNTIMES[format](file).facts
    assert facts["class_names"] == ['exosome "µ" <&>', "virus"]
    assert (facts["image_size"], facts["thresholds"]["score"], facts["pixel_size_nm"]) == (96, 0.4, 1.5)
    assert facts["weights_sha256"] == loaded.info["weights_sha256"]

    monkeypatch.setattr(runtimes, "convert", None)  # the file is what is used
    network = choose_network(format, loaded.detector, CPU, checkpoint)
    images = random_pictures((3, 1, 64, 128))
    for a, b in zip(network(images), TorchNetwork(loaded.detector)(images), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-3)


@pytest.mark.parametrize("format", SUFFIXES)
def test_a_file_of_other_weights_or_version_is_not_used(
    checkpoint: Path, format: str, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    export(checkpoint, format)
    monkeypatch.setattr(runtimes, "convert", lambda runtime, detector: "converted")
    assert choose_network(format, load_detector(checkpoint).detector, CPU, checkpoint) != "converted"
    with monkeypatch.context() as later:
        later.setattr("exolight.__version__", "99")
        assert choose_network(format, load_detector(checkpoint).detector, CPU, checkpoint) == "converted"
    write_checkpoint(checkpoint, seed=1)
    caplog.clear()
    assert choose_network(format, load_detector(checkpoint).detector, CPU, checkpoint) == "converted"
    assert "is not of the weights in" in caplog.text
    export(checkpoint, format)  # replaces the old one
    assert choose_network(format, load_detector(checkpoint).detector, CPU, checkpoint) != "converted"


@pytest.mark.parametrize("format", SUFFIXES)
@pytest.mark.parametrize("content", [b"", b"no model", b"<?xml version='1.0'?><net/>"])
def test_a_damaged_file_is_not_used(checkpoint: Path, format: str, content: bytes, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    checkpoint.with_suffix(SUFFIXES[format]).write_bytes(content)
    monkeypatch.setattr(runtimes, "convert", lambda runtime, detector: "converted")
    assert choose_network(format, load_detector(checkpoint).detector, CPU, checkpoint) == "converted"
    assert "is not used: export it again" in caplog.text


def test_another_place(checkpoint: Path) -> None:
    file, boxes, scores = export(checkpoint, "onnx", checkpoint.parent / "new folder" / "a=b.onnx")
    assert file.is_file()
    assert boxes < 1e-2
    assert scores < 1e-4


@pytest.mark.parametrize(("format", "differences"), [("onnx", (0.6, 0.0)), ("openvino", (0.0, float("nan")))])
def test_what_is_not_exact_is_not_written(checkpoint: Path, format: str, differences: tuple[float, float], monkeypatch: pytest.MonkeyPatch) -> None:
    old = checkpoint.with_suffix(SUFFIXES[format])
    old.write_text("the old one")
    monkeypatch.setattr(module, "largest_differences", lambda *_: differences)
    with pytest.raises(InputError, match=f"as {format} it is not what it is with PyTorch"):
        export(checkpoint, format)
    assert {path.name for path in checkpoint.parent.iterdir()} == {checkpoint.name, old.name}
    assert old.read_text() == "the old one"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["checkpoint=x.ckpt", "format=onnx", "foo=1"], "foo=1: arguments are checkpoint=FILE"),
        (["x.ckpt"], "x.ckpt: arguments are checkpoint=FILE"),
        (["checkpoint=", "format=onnx"], "checkpoint=: arguments are"),
        (["format=onnx"], "checkpoint= is missing"),
        (["checkpoint=x.ckpt"], "format= is missing"),
        (["checkpoint=x.ckpt", "format=tflite"], "format=tflite: it can be onnx or openvino"),
        (["checkpoint=x.ckpt", "format=onnx"], "there is no checkpoint at x.ckpt"),
        (["checkpoint=x.ckpt", "format=onnx", "output=a.xml"], "output=a.xml: a file of format=onnx ends in .onnx"),
    ],
)
def test_wrong_arguments(arguments: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SystemExit) as left:
        main(arguments)
    assert left.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith(f"error: {said}")
    assert error.count("\n") == 1


def test_help(capsys: pytest.CaptureFixture[str]) -> None:
    assert (main([]), main(["--help"])) == (2, 0)
    assert "python -m exolight.inference.export checkpoint=FILE" in capsys.readouterr().out


def test_facts_are_plain(checkpoint: Path) -> None:
    facts = module.facts(load_detector(checkpoint))
    assert json.loads(json.dumps(facts)) == facts

"""The command ``exolight`` and its doctor."""

import subprocess
import sys
from pathlib import Path

import pytest

import exolight.__main__ as console
from exolight import doctor
from exolight.doctor import Finding, examine


def run(*arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "exolight", *arguments], capture_output=True, text=True, cwd=cwd, timeout=120)


def test_predict_is_predict_py_from_any_folder(tmp_path: Path) -> None:
    done = run("predict", "no such.tif", "checkpoint=none.ckpt", cwd=tmp_path)
    assert done.returncode == 2
    assert "none.ckpt" in done.stderr
    assert done.stderr.count("\n") == 1


def test_train_is_train_py_from_any_folder(tmp_path: Path) -> None:
    done = run("train", "modle=x", cwd=tmp_path)
    assert done.returncode == 2
    assert "did you mean model=" in done.stderr


def test_compare_takes_paths_verbatim_from_any_folder(tmp_path: Path) -> None:
    done = run("compare", "EV grid 3, (donor=ü)", "bin=5", cwd=tmp_path)
    assert done.returncode == 2
    assert "EV grid 3, (donor=ü): no such folder; give the one that predict.py wrote" in done.stderr
    assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_data_are_checked_and_converted_from_any_folder(tmp_path: Path) -> None:
    for verb, arguments in (("check", ["data=folder", "data.root=gone", "out=page"]), ("convert", ["source=gone", "format=yolo", "out=page"])):
        done = run(verb, *arguments, cwd=tmp_path)
        assert done.returncode == 2
        assert "gone: no such file or folder" in done.stderr
        assert done.stderr.count("\n") == 1
        assert not list(tmp_path.iterdir())


def test_unknown_verbs_and_help(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    for arguments, status in ((["exolight"], 0), (["exolight", "--help"], 0), (["exolight", "detect"], 2)):
        monkeypatch.setattr(sys, "argv", arguments)
        assert console.main() == status
        out, err = capsys.readouterr()
        for verb in ("predict", "train", "check", "convert", "compare", "doctor"):
            assert f"exolight {verb}" in (err if status else out)
    monkeypatch.setattr(console, "PROGRAMS", tmp_path)
    monkeypatch.setattr(sys, "argv", ["exolight", "predict"])
    assert console.main() == 2
    assert "install exolight from its checkout" in capsys.readouterr().err


def test_a_healthy_installation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("exolight.inference.command_line.SHIPPED", tmp_path / "none.ckpt")
    said: list[str] = []
    assert examine(said.append) == 0
    text = "\n".join(said)
    assert said[-1] == "all well"
    assert "--  no checkpoint given, and no finished training run" in text
    for backend in ("torch", "onnx", "openvino"):
        assert f"ok  self-test, {backend} on cpu" in text


def test_what_is_wrong_is_said_and_the_rest_goes_on(monkeypatch: pytest.MonkeyPatch) -> None:
    version = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: {"timm": None, "openvino": None, "wandb": None, "torch": "2.13.0+cpu"}.get(name, version(name)))
    words = [finding for finding in doctor.versions() if finding.mark != "ok"]
    assert [finding.mark for finding in words] == ["!!", "--", "!!", "--"]
    assert words[0].words.startswith("timm: needed, not installed: ")
    assert words[1].words.startswith("wandb: needed to train, not installed")
    assert "2.13.0" in words[2].words
    assert words[3].words.startswith("openvino: not installed")

    def broken() -> list[Finding]:
        raise OSError("no torch\nat all")

    monkeypatch.setattr(doctor, "versions", broken)
    monkeypatch.setattr(doctor, "detectors", lambda: [Finding("ok", "one")])
    monkeypatch.setattr(doctor, "self_test", lambda: [Finding("ok", "two")])
    monkeypatch.setattr(doctor, "devices", lambda: [])
    said: list[str] = []
    assert examine(said.append) == 1
    assert said[0].endswith("OSError: no torch at all")
    assert said[1:3] == ["ok  one", "ok  two"]
    assert said[-1].startswith("1 fault:")


def test_a_folder_that_cannot_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(doctor.tempfile, "TemporaryFile", refuse)
    assert next(finding for finding in doctor.detectors() if finding.mark == "!!").words.startswith("results cannot be written")

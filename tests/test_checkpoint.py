"""Checkpoints: whole at every moment, without code, and the detector that comes out is the one that went in."""

import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from exolight import checkpoint as module
from exolight.checkpoint import detector_weights, load_detector, read_checkpoint, store, weights_hash, write_atomically
from exolight.errors import InputError
from exolight.models import Detector
from exolight.thresholds import Thresholds

THRESHOLDS = {"score": 0.31, "iou": 0.5, "max_detections": 300, "class_agnostic": False}


@pytest.fixture(scope="module")
def detector() -> Detector:
    """With anchors, statistics and BatchNorm that are not the constructor's."""
    torch.manual_seed(0)
    made = Detector({"name": "cs3darknet_focus_n"}, {"depth_multiple": 0.33, "width_multiple": 0.25}, ["exosome", "ice"], mean=[0.4], std=[0.3])
    made.head.anchors.mul_(1.37)
    made.train()
    made(torch.randint(0, 256, (2, 1, 64, 96), dtype=torch.uint8))
    return made.eval()


@pytest.fixture
def content(detector: Detector) -> dict[str, Any]:
    return {
        "state_dict": {f"detector.{name}": value for name, value in detector.state_dict().items()} | {"elsewhere": torch.ones(1)},
        "exolight": {"detector": detector.config(), "image_size": 96, "thresholds": THRESHOLDS, "seed": 3, "object_size_px": [5.0, 40.0]},
        "epoch": 7,
    }


@pytest.fixture
def path(tmp_path: Path, content: dict[str, Any]) -> Path:
    write_atomically(content, tmp_path / "new folder" / "best µ 1.ckpt")
    return tmp_path / "new folder" / "best µ 1.ckpt"


def test_detector_comes_back_bit_for_bit(detector: Detector, path: Path) -> None:
    loaded = load_detector(path)
    images = torch.randint(0, 256, (2, 1, 96, 64), dtype=torch.uint8)
    with torch.inference_mode():
        for expected, found in zip(detector(images), loaded.detector(images), strict=True):
            assert torch.equal(expected, found)
        for expected, found in zip(detector.decode(detector(images)), loaded.detector.decode(loaded.detector(images)), strict=True):
            assert torch.equal(expected, found)
    assert torch.equal(detector.anchors, loaded.detector.anchors)
    assert not loaded.detector.training
    assert loaded.detector.config() == detector.config()
    assert loaded.image_size == 96
    assert loaded.thresholds == Thresholds(**THRESHOLDS)
    assert loaded.info == {"seed": 3, "object_size_px": [5.0, 40.0], "weights_sha256": weights_hash(detector.state_dict())}


def test_without_operating_point(tmp_path: Path, content: dict[str, Any]) -> None:
    del content["exolight"]["thresholds"]
    write_atomically(content, tmp_path / "a.ckpt")
    assert load_detector(tmp_path / "a.ckpt").thresholds is None


def test_file_holds_no_code(path: Path) -> None:
    """weights_only accepts it, and nothing in it names something to be called."""
    content = torch.load(path, weights_only=True)
    texts: list[str] = []

    def walk(value: object) -> None:
        if isinstance(value, dict):
            for pair in value.items():
                walk(list(pair))
        elif isinstance(value, list | tuple):
            for part in value:
                walk(part)
        elif isinstance(value, str):
            texts.append(value)
        else:
            assert value is None or isinstance(value, bool | int | float | torch.Tensor), type(value)

    walk(content)
    assert len(texts) > 10
    assert not any("_target_" in text or text.startswith("exolight.models") for text in texts)


def test_hash_is_of_the_weights_alone(detector: Detector, path: Path) -> None:
    before = load_detector(path)
    store(path, thresholds={**THRESHOLDS, "score": 0.6}, pixel_size_nm=2.0)
    after = load_detector(path)
    assert after.thresholds is not None
    assert after.thresholds.score == 0.6
    assert after.info == before.info | {"pixel_size_nm": 2.0}
    assert read_checkpoint(path)["epoch"] == 7
    weights = {name: value.clone() for name, value in detector.state_dict().items()}
    assert weights_hash(dict(reversed(weights.items()))) == before.info["weights_sha256"]
    weights["head.anchors"][0, 0, 0] += 1e-4
    assert weights_hash(weights) != before.info["weights_sha256"]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.bool])
def test_hash_of_every_kind_of_tensor(dtype: torch.dtype) -> None:
    tensor = torch.arange(6).reshape(2, 3).to(dtype)
    assert weights_hash({"a": tensor, "b": tensor[0, 0]}) == weights_hash({"a": tensor.T.contiguous().T, "b": tensor[0, 0]})


def test_only_the_detectors_weights_under_their_own_names(content: dict[str, Any], detector: Detector) -> None:
    assert detector_weights(content).keys() == detector.state_dict().keys()


@pytest.mark.parametrize("error", [RuntimeError("disk full"), KeyboardInterrupt()])
def test_failure_while_writing_leaves_the_old_file_whole(path: Path, content: dict[str, Any], error: BaseException, monkeypatch: pytest.MonkeyPatch) -> None:
    before = path.read_bytes()

    def half(_: object, file: Any) -> None:
        file.write(b"half of a file")
        raise error

    monkeypatch.setattr(module.torch, "save", half)
    with pytest.raises(type(error)):
        write_atomically(content, path)
    assert path.read_bytes() == before
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_nothing_is_renamed_before_it_is_on_the_disk(path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """A kill at any moment: until the very last step the old file is there, and the step is a rename within the folder."""
    before, steps = path.read_bytes(), []

    def sync(handle: int) -> None:
        assert path.read_bytes() == before
        part = next(p for p in path.parent.iterdir() if p != path)
        assert os.fstat(handle).st_size == part.stat().st_size > 1000
        steps.append(os.fstat(handle).st_ino)

    monkeypatch.setattr(module.os, "fsync", sync)
    content["epoch"] = 8
    write_atomically(content, path)
    assert steps == [path.stat().st_ino]
    assert read_checkpoint(path)["epoch"] == 8


@pytest.mark.skipif(os.name == "nt", reason="POSIX permissions")
def test_others_may_read_what_the_umask_lets_them(path: Path) -> None:
    plain = path.with_name("plain")
    plain.write_bytes(b"")
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


class Malicious:
    def __reduce__(self) -> tuple[Any, ...]:
        return (os.mkdir, ("it ran",))


def damaged(kind: str, path: Path, content: dict[str, Any]) -> None:
    """Write a file that is no checkpoint, or no longer one."""
    whole = path.read_bytes()
    facts = content["exolight"]
    contents: dict[str, Any] = {
        "foreign dict": {"model": 1},
        "list": [1, 2],
        "no weights": {"exolight": facts},
        "weights of another": {**content, "state_dict": {"a": torch.ones(2)}},
        "facts are a text": {**content, "exolight": "yes"},
        "unknown argument": {**content, "exolight": {**facts, "detector": {**facts["detector"], "head": "new"}}},
        "unknown backbone": {**content, "exolight": {**facts, "detector": {**facts["detector"], "backbone": {"name": "no_such_net", "options": {}}}}},
        "other classes": {**content, "exolight": {**facts, "detector": {**facts["detector"], "class_names": ["one"]}}},
        "ragged anchors": {**content, "exolight": {**facts, "detector": {**facts["detector"], "anchors": [[[1, 2]], [[1]]]}}},
        "no image size": {**content, "exolight": {k: v for k, v in facts.items() if k != "image_size"}},
        "unknown threshold": {**content, "exolight": {**facts, "thresholds": {"new": 1}}},
        "code": {**content, "extra": Malicious()},
    }
    if kind in contents:
        torch.save(contents[kind], path)
    elif kind == "cut":
        path.write_bytes(whole[: len(whole) // 2])
    elif kind == "empty":
        path.write_bytes(b"")
    elif kind == "text":
        path.write_text("not a\ncheckpoint")
    elif kind == "pickle":
        path.write_bytes(pickle.dumps({"exolight": 1}))
    else:
        path.unlink()


@pytest.mark.parametrize(
    "kind",
    ["missing", "empty", "text", "cut", "pickle", "foreign dict", "list", "no weights", "weights of another", "facts are a text", "unknown argument",
     "unknown backbone", "other classes", "ragged anchors", "no image size", "unknown threshold", "code"],
)  # fmt: skip
def test_what_is_no_checkpoint_is_said_in_one_line(kind: str, path: Path, content: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(path.parent)
    damaged(kind, path, content)
    with pytest.raises(InputError) as raised:
        load_detector(path)
    assert "\n" not in str(raised.value)
    assert path.name in str(raised.value)
    assert not Path("it ran").exists()


def test_folder_instead_of_a_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no checkpoint"):
        read_checkpoint(tmp_path)

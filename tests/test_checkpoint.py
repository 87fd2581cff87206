"""Checkpoints: whole at every moment, without code, and the detector that comes out is the one that went in."""

import os
import pickle
import stat
from pathlib import Path
from typing import Any

import pytest
import torch

from exolight import checkpoint as module
from exolight.checkpoint import KEY, SHIPPED, detector_weights, load_detector, read_checkpoint, slim, store, weights_hash, write_atomically
from exolight.errors import InputError
from exolight.inference.export import export, main
from exolight.inference.runtimes import MAX_BOX_DIFFERENCE, MAX_SCORE_DIFFERENCE, TorchNetwork, largest_differences, random_pictures
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


# The small checkpoint that is handed on -----------------------------------------------------------------------------------------------------------------------


@pytest.fixture
def trained(path: Path, content: dict[str, Any]) -> Path:
    """As a training leaves it: raw weights and an optimiser's state beside the averaged ones."""
    state = {name: torch.rand_like(value.float()) for name, value in content["state_dict"].items()}
    write_atomically({**content, "current_model_state": state, "optimizer_states": [state, state]}, path)
    return path


def test_slim_is_small_and_finds_the_same(trained: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([f"checkpoint={trained}", "format=slim"]) == 0
    file = trained.with_name("best µ 1.slim.ckpt")
    assert {one.name for one in trained.parent.iterdir()} == {trained.name, file.name}
    assert str(file) in capsys.readouterr().out
    assert 2 * file.stat().st_size < trained.stat().st_size
    assert file.stat().st_size < 0.6 * sum(value.nbytes for value in detector_weights(read_checkpoint(trained)).values())
    before, after = load_detector(trained), load_detector(file)
    boxes, scores = largest_differences(TorchNetwork(after.detector), before.detector, random_pictures((2, 1, 96, 128)))
    assert 0 < boxes <= MAX_BOX_DIFFERENCE
    assert 0 < scores <= MAX_SCORE_DIFFERENCE


def test_slim_knows_what_it_knew(trained: Path, tmp_path: Path) -> None:
    file, *_ = export(trained, "slim", tmp_path / "weights" / "simulated_n.ckpt")
    stored = torch.load(file, weights_only=True)
    assert set(stored) == {KEY, "state_dict"}
    assert stored[KEY] == read_checkpoint(trained)[KEY]
    before, after = load_detector(trained), load_detector(file)
    assert after.thresholds == before.thresholds == Thresholds(**THRESHOLDS)
    assert (after.image_size, after.detector.config()) == (before.image_size, before.detector.config())
    assert after.info == before.info | {"weights_sha256": weights_hash(after.detector.state_dict())}


def test_slim_rounds_what_is_large_and_nothing_else(detector: Detector, trained: Path) -> None:
    made = slim(load_detector(trained))
    stored, half = detector_weights(made), {name for name, value in made["state_dict"].items() if value.dtype == torch.float16}
    assert half == {f"detector.{name}" for name, parameter in detector.named_parameters() if parameter.ndim > 1}
    for name, value in detector.state_dict().items():
        assert stored[name].dtype == value.dtype
        assert torch.equal(stored[name], value.half().float() if f"detector.{name}" in half else value), name
    assert any(name.endswith("running_var") for name in stored)


def test_variances_beyond_half_precision_survive(tmp_path: Path, content: dict[str, Any]) -> None:
    name = next(name for name in content["state_dict"] if name.endswith("running_var"))
    beyond = torch.logspace(-12, 6, content["state_dict"][name].numel())
    content["state_dict"] = {**content["state_dict"], name: beyond}
    write_atomically(content, tmp_path / "a.ckpt")
    file, *_ = export(tmp_path / "a.ckpt", "slim")
    assert torch.equal(read_checkpoint(file)["state_dict"][name], beyond)


def test_slim_of_slim_is_the_same(trained: Path, tmp_path: Path) -> None:
    once, *_ = export(trained, "slim", tmp_path / "a.ckpt")
    again, *_ = export(once, "slim", tmp_path / "b.ckpt")
    assert load_detector(once).info == load_detector(again).info


@pytest.mark.parametrize(("dtype", "same"), [(torch.float16, False), (torch.bfloat16, False), (torch.float64, True)])
def test_whatever_is_stored_the_detector_is_single_precision(dtype: torch.dtype, same: bool, path: Path, content: dict[str, Any]) -> None:
    before = load_detector(path).info["weights_sha256"]
    content["state_dict"] = {name: value.to(dtype) if value.is_floating_point() else value for name, value in content["state_dict"].items()}
    write_atomically(content, path)
    loaded = load_detector(path)
    assert {value.dtype for value in loaded.detector.state_dict().values()} == {torch.float32, torch.int64}
    assert loaded.info["weights_sha256"] == weights_hash(loaded.detector.state_dict())
    assert (loaded.info["weights_sha256"] == before) is same


def test_a_weight_out_of_range_is_refused(tmp_path: Path, content: dict[str, Any]) -> None:
    name = "detector.head.boxes.0.weight"
    content["state_dict"] = {**content["state_dict"], name: content["state_dict"][name] + 1e5}
    write_atomically(content, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="as slim it is not what it is"):
        export(tmp_path / "a.ckpt", "slim")
    assert [file.name for file in tmp_path.iterdir()] == ["a.ckpt"]


def test_a_training_checkpoint_is_not_replaced_by_its_slim_one(trained: Path) -> None:
    before = trained.read_bytes()
    with pytest.raises(InputError, match="the checkpoint itself"):
        export(trained, "slim", trained)
    with pytest.raises(InputError, match=r"ends in \.ckpt"):
        export(trained, "slim", trained.with_suffix(".pt"))
    assert trained.read_bytes() == before


def test_the_detector_that_comes_with_exolight() -> None:
    if not SHIPPED.is_file():
        pytest.skip(f"{SHIPPED} is not there: python -m exolight.inference.export checkpoint=best.ckpt format=slim output=weights/simulated_n.ckpt")
    assert SHIPPED.stat().st_size < 6e6
    assert set(read_checkpoint(SHIPPED)) == {KEY, "state_dict"}
    assert torch.float16 in {value.dtype for value in read_checkpoint(SHIPPED)["state_dict"].values()}
    loaded = load_detector(SHIPPED)
    assert loaded.detector.class_names == ["exosome"]
    assert loaded.detector.backbone.name == "cs3darknet_focus_n"
    assert loaded.thresholds is not None
    assert 0 < loaded.thresholds.score < 1
    assert all(value.isfinite().all() for value in loaded.detector.state_dict().values())
    assert {"data", "training_pictures", "object_size_px", "init"} <= set(loaded.info)

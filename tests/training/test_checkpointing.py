"""What a training run writes can be loaded by anybody without running code, and is whole at every moment."""

from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from exolight.annotated_image import AnnotatedImage
from exolight.checkpoint import load_detector
from exolight.micrograph import Micrograph
from exolight.training.checkpointing import AtomicCheckpointIO, BestCheckpoint, LastCheckpoint, plain

# Plain values -------------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "wanted"),
    [
        (Path("a/b"), str(Path("a/b"))),
        (np.float64(1.5), 1.5),
        (np.int64(3), 3),
        (np.str_("µ"), "µ"),
        (np.bool_(True), True),
        (OrderedDict(a=1), {"a": 1}),
        ({np.int64(1): [Path("x")]}, {1: ["x"]}),
        ({1, 2}, [1, 2]),
        ((1, (2, np.float32(0.5))), (1, (2, 0.5))),
        (None, None),
        (True, True),
        (b"x", b"x"),
        (float("inf"), float("inf")),
    ],
)
def test_plain(value: Any, wanted: Any) -> None:
    found = plain(value)
    assert found == wanted
    assert type(found) is type(wanted)


def test_tensors_stay_the_same_ones() -> None:
    tensor = torch.ones(2)
    assert plain({"a": [tensor]})["a"][0] is tensor


@pytest.mark.parametrize("value", [object(), print, SimpleNamespace(a=1), {"deep": [slice(1)]}])
def test_code_is_refused(value: Any) -> None:
    with pytest.raises(TypeError, match="plain values"):
        plain(value)


# Files --------------------------------------------------------------------------------------------------------------------------------------------------------


def test_what_is_saved_loads_with_weights_only(tmp_path: Path) -> None:
    path = tmp_path / "sub" / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"state_dict": OrderedDict(w=torch.ones(2)), "best": np.float32(0.5), "dirpath": tmp_path}, path)
    found = torch.load(path, weights_only=True)
    assert found["best"] == 0.5
    assert found["dirpath"] == str(tmp_path)


def test_a_failure_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "a.ckpt"
    AtomicCheckpointIO().save_checkpoint({"a": 1}, path)
    with pytest.raises(TypeError):
        AtomicCheckpointIO().save_checkpoint({"a": object()}, path)
    assert torch.load(path, weights_only=True) == {"a": 1}
    assert [p.name for p in tmp_path.iterdir()] == ["a.ckpt"]


@pytest.fixture(scope="module")
def run(train_program: Callable[..., Any], tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A training with SGD, whose state is another than that of the default, and a threshold setting of its own."""
    folder = tmp_path_factory.mktemp("kinds")
    done = train_program(*tiny, "optimizer=sgd", "scheduler=cosine", "thresholds.class_agnostic=true", f"hydra.run.dir={folder}/run", figures=False)
    assert done.status == 0, done.err
    return folder / "run"


@pytest.mark.parametrize("kind", ["best", "last"])
def test_every_kind_of_checkpoint_is_plain_and_self_contained(run: Path, kind: str) -> None:
    path = run / "checkpoints" / f"{kind}.ckpt"
    content = torch.load(path, weights_only=True)
    assert "hyper_parameters" not in content
    assert content["optimizer_states"]
    assert "_target_" not in str({name: value for name, value in content.items() if name not in ("state_dict", "current_model_state", "optimizer_states")})
    loaded = load_detector(path)
    averaged = {name.removeprefix("detector."): value for name, value in content["state_dict"].items()}
    assert all(torch.equal(value, averaged[name]) for name, value in loaded.detector.state_dict().items())
    assert loaded.image_size == 64
    assert loaded.thresholds is not None
    assert loaded.thresholds.class_agnostic is True
    assert (loaded.thresholds.iou, loaded.thresholds.max_detections) == (0.6, 1000)


def test_nothing_else_is_left_beside_them(run: Path) -> None:
    assert sorted(p.name for p in (run / "checkpoints").iterdir()) == ["best.ckpt", "last.ckpt"]


# Which is the best --------------------------------------------------------------------------------------------------------------------------------------------


def picture(objects: int, ignored: bool = False) -> AnnotatedImage:
    boxes = np.tile(np.array([[1, 1, 5, 5]], np.float32), (objects, 1))
    empty = Micrograph(np.zeros((9, 9), np.uint8), None, "test")
    return AnnotatedImage("x", lambda: empty, (9, 9), boxes, np.zeros(objects, np.int64), np.full(objects, ignored))


@pytest.mark.parametrize(
    ("pictures", "scored"),
    [([], False), ([picture(0), picture(0)], False), ([picture(2, ignored=True)], False), ([picture(0), picture(1)], True)],
)
def test_without_objects_held_out_the_last_is_the_best(pictures: list[AnnotatedImage], scored: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    best = BestCheckpoint(tmp_path)
    monkeypatch.setattr("lightning.pytorch.callbacks.ModelCheckpoint.setup", lambda *_, **__: None)
    trainer: Any = SimpleNamespace(datamodule=SimpleNamespace(datasets={"val": SimpleNamespace(images=pictures)}))
    best.setup(trainer, None, "fit")  # type: ignore[arg-type]
    assert best.monitor == ("val/map" if scored else None)


def test_the_two_keep_their_states_apart(tmp_path: Path) -> None:
    best, last = BestCheckpoint(tmp_path), LastCheckpoint(tmp_path)
    best.monitor = None
    assert best.state_key != last.state_key

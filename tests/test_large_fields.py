"""Large fields: trained on tiles, scored whole, and predicted as they were scored."""

import importlib.util
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from exolight.checkpoint import SHIPPED, load_detector
from exolight.data.sample import Batch
from exolight.inference.predictor import Predictor
from exolight.inference.runtimes import TorchNetwork
from exolight.losses.detection import DetectionLoss
from exolight.preprocessing import normalise
from exolight.simulation.files import write_files
from exolight.simulation.ranges import Ranges
from exolight.simulation.source import simulate
from exolight.thresholds import Thresholds
from exolight.training.module import DetectionModule

REPOSITORY = Path(__file__).parents[1]
Program = Callable[..., Any]


@pytest.fixture(scope="module")
def fields(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures as files, half of them to learn from, half to be tested on."""
    folder = tmp_path_factory.mktemp("large") / "fields"
    write_files(folder, 4, 6, (400, 560), (2.0, 2.0), Ranges())
    names = [image["file_name"] for image in json.loads((folder / "annotations.json").read_text("utf-8"))["images"]]
    (folder / "train.txt").write_text("\n".join(names[:2]), "utf-8")
    (folder / "test.txt").write_text("\n".join(names[2:]), "utf-8")
    return folder


def shared(fields: Path, run: Path) -> list[str]:
    split = "data.split={train: train.txt, test: test.txt}"
    return ["data=coco", f"data.root={fields}", "data.num_workers=0", "init=random", "logger=none", "~callbacks.progress", split, f"hydra.run.dir={run}"]


def test_whole_fields_are_scored_as_prediction_looks(train_program: Program, fields: Path, tmp_path: Path) -> None:
    """The same pictures, weights and thresholds: the test scores of fit=false are those of predict.py with truth=."""
    run = tmp_path / "run"
    scored = train_program(*shared(fields, run), "data.image_size=384", "data.tile=384", "fit=false", f"checkpoint={SHIPPED}", figures=False)
    assert scored.status == 0, scored.err
    scores = json.loads((run / "metrics.json").read_text("utf-8"))["test"]
    assert scores["map_50"] > 0.3
    spec = importlib.util.spec_from_file_location("predict_large_fields", REPOSITORY / "predict.py")
    assert spec
    assert spec.loader
    predict = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(predict)
    pictures = [str(next(fields.rglob(f"{Path(name).stem}.tif"))) for name in (fields / "test.txt").read_text("utf-8").split()]
    arguments = [*pictures, f"checkpoint={SHIPPED}", f"truth={fields / 'annotations.json'}", f"output={tmp_path / 'predicted'}"]
    assert predict.main([*arguments, "thresholds=evaluation", "thresholds.score=0.25", "tile=384", "overlays=false", "backend=torch"]) == 0
    predicted = json.loads((tmp_path / "predicted" / "metrics.json").read_text("utf-8"))
    for name in ("map", "map_50", "map_75"):
        assert predicted[name] == pytest.approx(scores[name], abs=1e-4)


@pytest.mark.parametrize("target", [None, 3.0])
def test_a_detector_trained_on_tiles_says_so(train_program: Program, fields: Path, tmp_path: Path, target: float | None) -> None:
    arguments = ["data.image_size=128", "data.tile=128", "data.batch_size=4", "trainer.max_epochs=1", "+trainer.limit_train_batches=2"]
    arguments += [f"data.target_nm_per_pixel={target}"] if target else []
    run = train_program(*shared(fields, tmp_path / "run"), *arguments, figures=False)
    assert run.status == 0, run.err
    assert "train 2 pictures" in run.out
    best = tmp_path / "run" / "checkpoints" / "best.ckpt"
    stored = torch.load(best, weights_only=True)["exolight"]
    assert (stored["tile"], stored["pixel_size_nm"], stored["training_pictures"]) == (128, target, 2)
    predictor = Predictor.from_checkpoint(best)
    assert predictor.as_recorded is (target is None)
    found = predictor.detect([np.full((400, 200), 90, np.uint8)], [2.0])[0]
    assert found.scale == (1.0 if target is None else pytest.approx(2 / 3))
    assert found.views > 1


def test_a_window_of_another_size_than_the_input(train_program: Program, fields: Path, tmp_path: Path) -> None:
    run = train_program(*shared(fields, tmp_path / "run"), "data.tile=640", figures=False)
    assert run.status == 2
    assert "data.tile=640" in run.err
    assert "give data.image_size=640 too" in run.err


def test_every_overlap_of_suppression_finds_in_tiles_what_prediction_with_it_finds(monkeypatch: pytest.MonkeyPatch) -> None:
    """And the network is asked once for all of them."""
    loaded = load_detector(SHIPPED)
    picture = normalise(simulate(count=1, image_hw=(300, 260), seed=3).images[0].read().pixels)
    field = np.full((320, 288), 114, np.uint8)
    field[:300, :260] = picture
    asked: list[int] = []
    ask = TorchNetwork.__call__

    def counted(self: TorchNetwork, images: NDArray[np.uint8]) -> tuple[torch.Tensor, torch.Tensor]:
        asked.append(len(images))
        return ask(self, images)

    monkeypatch.setattr(TorchNetwork, "__call__", counted)
    thresholds = Thresholds(score=0.001, iou=0.6)
    module = DetectionModule(loaded.detector, DetectionLoss(), None, None, thresholds, 160, {"box": 1.0, "objectness": 1.0, "class": 1.0}, tile=160)  # type: ignore[arg-type]
    module.also = (0.2, 0.95)
    module.on_test_epoch_start()
    nothing = torch.zeros(0, 6)
    batch = Batch(torch.from_numpy(field)[None, None], nothing, nothing, torch.tensor([0]), torch.tensor([[1.0, 1, 0, 0]]), torch.tensor([[300, 260]]))
    module.test_step(batch, 0)
    inputs, counts = sum(asked), []
    for iou, (result,) in module.tried.items():
        sure = replace(thresholds, iou=iou, score=Thresholds().score)
        expected = Predictor(loaded.detector, sure, 160, tile=160, floor=0.001, as_recorded=True).detect([picture])[0].detections
        np.testing.assert_allclose(result.boxes, expected.boxes, atol=1e-3)
        np.testing.assert_allclose(result.scores, expected.scores, atol=1e-6)
        counts.append(len(expected.boxes))
    assert sum(asked) == 4 * inputs
    assert list(module.tried) == [0.6, 0.2, 0.95]
    assert counts[1] < counts[0] < counts[2]

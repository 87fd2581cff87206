"""train.py from its arguments to what a run leaves behind; numbers are small, the way is the real one."""

import json
import math
import shutil
import struct
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from lightning.pytorch.loggers import WandbLogger
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from exolight.checkpoint import load_detector, read_checkpoint, store
from exolight.training.loggers import wandb_logger

Program = Callable[..., Any]
SCORES = {"map", "map_50", "map_75", "mar", "precision", "recall", "f1", "threshold"}


def metrics(folder: Path) -> dict[str, Any]:
    """metrics.json as a strict reader takes it: NaN is no JSON."""

    def refuse(word: str) -> None:
        raise AssertionError(f"{word} in metrics.json")

    return json.loads((folder / "metrics.json").read_text("utf-8"), parse_constant=refuse)


@pytest.fixture(scope="module")
def finished(train_program: Program, tiny: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a training of two epochs with all defaults but sizes, whose averaged weights are far from the raw ones."""
    folder = tmp_path_factory.mktemp("train") / "EV (1), Proença"
    arguments = [a for a in tiny if not a.startswith(("logger", "~callbacks"))]
    arguments += ["trainer.max_epochs=2", "seed=3", "module.nominal_batch=4", "scheduler.warmup_epochs=0", "callbacks.average.ramp=2"]
    run = train_program(*arguments, f"hydra.run.dir={folder}")
    assert run.status == 0, run.err
    assert f"run folder: {folder}" in run.out
    return folder


# What a run leaves behind -------------------------------------------------------------------------------------------------------------------------------------


def test_the_run_folder_holds_what_is_promised(finished: Path) -> None:
    assert {path.name for path in finished.iterdir()} == {
        "checkpoints", "config.yaml", "figures", "metrics.json", "results.csv", "tensorboard", "test.txt", "train.log", "train.txt", "val.txt",
    }  # fmt: skip
    assert {path.name for path in (finished / "checkpoints").iterdir()} == {"best.ckpt", "last.ckpt"}
    curves = {f"{prefix}{name}_curve" for prefix in ("", "test_") for name in ("PR", "P", "R", "F1")}
    sheets = {f"{part}_batch_{what}" for part in ("val", "test") for what in ("labels", "pred")}
    others = ("confusion_matrix", "count_agreement", "reliability", "worst", "size_distribution", "diameter_errors", "threshold_sweep")
    errors = {f"{prefix}{name}" for prefix in ("", "test_") for name in others}
    drawn = curves | sheets | errors | {"results", "labels", "train_batch", "assignment"}
    assert {path.name for path in (finished / "figures").iterdir()} == {f"{name}.{kind}" for name in drawn for kind in ("png", "svg")}
    for path in (finished / "figures").glob("*.png"):
        assert cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR).std() > 1, path


def test_metrics_say_how_the_run_went(finished: Path) -> None:
    found = metrics(finished)
    assert set(found["val"]) >= SCORES
    assert set(found["test"]) >= SCORES | {"count_bias", "count_mae"}
    assert all(math.isfinite(found[part][name]) for part in ("val", "test") for name in SCORES)
    assert found["test"]["temperature"] == found["val"]["temperature"]
    assert set(found["test"]) >= {"error_missed", "error_background", "touching", "ece", "f1_low", "f1_high", "count_low"}
    assert set(found["test"]) >= {"mar_small", "map/30_60nm", "mar/over_200nm", "objects/60_100nm", "suppression_iou"}
    assert sum(value for name, value in found["test"].items() if name.startswith("objects/")) > 0
    assert found["val"]["suppression_iou"] == found["test"]["suppression_iou"]
    assert found["seed"] == 3
    assert found["init"] == "random"
    assert found["parameters"] > 1e6
    assert found["wall_time_s"] > 0
    assert found["images_per_second"] > 0
    assert found["peak_memory_mib"] > 100
    assert len(found["weights_sha256"]) == 64
    assert found["versions"]["exolight"] == tomllib.loads((Path(__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]["version"]
    assert {"python", "torch", "lightning", "timm"} <= set(found["versions"])


def test_the_table_and_the_log(finished: Path) -> None:
    table = pd.read_csv(finished / "results.csv")
    assert table["epoch"].tolist() == [0, 1]
    assert {"train/box", "train/objectness", "val/box", "val/objectness", "val/map", "val/map_50", "lr"} <= set(table.columns)
    assert table.notna().all(axis=None)
    best = table.iloc[table["val/map"].argmax()]
    assert best["val/map"] == metrics(finished)["val"]["map"] > 0  # the averaged weights were validated, saved as best, and scored again
    for name in ("box", "objectness", "threshold"):
        assert best[f"val/{name}"] == pytest.approx(metrics(finished)["val"][name], rel=1e-5)
    text = (finished / "train.log").read_text("utf-8")
    assert "mAP50" in text
    assert "Traceback" not in text


def test_config_is_the_composed_one_without_open_ends(finished: Path) -> None:
    config = yaml.safe_load((finished / "config.yaml").read_text("utf-8"))
    assert config["trainer"]["max_epochs"] == config["data"]["epochs"] == 2
    assert config["module"]["image_size"] == 64
    assert config["callbacks"]["table"]["path"] == f"{finished}/results.csv"
    assert "${" not in (finished / "config.yaml").read_text("utf-8")


def test_the_split_is_left_as_lists(finished: Path) -> None:
    parts = [(finished / f"{part}.txt").read_text("utf-8").split() for part in ("train", "val", "test")]
    assert [len(part) for part in parts] == [11, 3, 2]
    assert len({name for part in parts for name in part}) == 16


def test_the_checkpoint_is_self_contained(finished: Path) -> None:
    best = torch.load(finished / "checkpoints" / "best.ckpt", weights_only=True)
    info = best["exolight"]
    assert info["image_size"] == 64
    assert info["detector"]["class_names"] == ["exosome"]
    assert info["seed"] == 3
    assert 1.5 <= info["input_pixel_sizes_nm"][0] < info["input_pixel_sizes_nm"][1] <= 3.75  # 1.0 to 2.5 nm, 96 px brought to 64
    assert 0 < info["object_size_px"][0] < info["object_size_px"][1] < 64
    assert info["thresholds"]["score"] == metrics(finished)["val"]["threshold"] == metrics(finished)["test"]["threshold"]
    assert info["thresholds"]["iou"] == metrics(finished)["test"]["suppression_iou"]
    assert info["temperature"] == metrics(finished)["val"]["temperature"]
    assert "_target_" not in str(info)


def test_scoring_the_checkpoint_later_gives_the_same_scores(finished: Path, train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    again = train_program(*tiny, "seed=3", "fit=false", f"checkpoint={finished}/checkpoints/best.ckpt", f"hydra.run.dir={tmp_path}/again", figures=False)
    assert again.status == 0, again.err
    first, second = metrics(finished), metrics(tmp_path / "again")
    assert first["test"] == second["test"]
    assert first["val"] == second["val"]
    assert first["weights_sha256"] == second["weights_sha256"]
    assert second["init_weights"] == f"{finished}/checkpoints/best.ckpt"
    assert not (tmp_path / "again" / "checkpoints").exists()


def test_the_operating_point_is_the_checkpoints_own(finished: Path, train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    """Not that of the pictures at hand: nothing is tuned on what is scored."""
    shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "a.ckpt")
    store(tmp_path / "a.ckpt", thresholds={"score": 0.0123, "iou": 0.35, "max_detections": 1000}, temperature=3.0)
    before = (tmp_path / "a.ckpt").read_bytes()
    run = train_program(*tiny, "seed=3", "fit=false", f"checkpoint={tmp_path}/a.ckpt", f"hydra.run.dir={tmp_path}/run", figures=False)
    assert run.status == 0, run.err
    found = metrics(tmp_path / "run")
    assert (found["test"]["threshold"], found["test"]["suppression_iou"], found["test"]["temperature"]) == (0.0123, 0.35, 3.0)
    assert found["val"]["threshold"] != pytest.approx(0.0123)
    assert found["val"]["suppression_iou"] != 0.35
    assert found["val"]["temperature"] != 3.0
    assert found["test"]["map"] == metrics(finished)["test"]["map"]  # average precision is always that of thresholds=evaluation
    assert (tmp_path / "a.ckpt").read_bytes() == before


def test_another_operating_point_can_be_looked_for_and_stored(finished: Path, train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    """A wanted recall, from the same weights; what is chosen on validation is what the checkpoint says and the test is scored with."""
    shutil.copy(finished / "checkpoints" / "best.ckpt", tmp_path / "a.ckpt")
    store(tmp_path / "a.ckpt", thresholds={"score": 0.9, "iou": 0.35, "max_detections": 7})
    aim = ["operating_point.aim=recall", "operating_point.value=0.5", "operating_point.ious=[]", "operating_point.store=true"]
    run = train_program(*tiny, *aim, "seed=3", "fit=false", f"checkpoint={tmp_path}/a.ckpt", f"hydra.run.dir={tmp_path}/run", figures=False)
    assert run.status == 0, run.err
    assert "operating point is now that of" in run.out
    found, info = metrics(tmp_path / "run"), read_checkpoint(tmp_path / "a.ckpt")["exolight"]
    assert 0.5 <= found["val"]["recall"] < 0.9
    assert info["thresholds"]["score"] == found["val"]["threshold"] == found["test"]["threshold"] < 0.9
    assert info["thresholds"]["iou"] == found["test"]["suppression_iou"] == 0.6  # no other was tried
    assert load_detector(tmp_path / "a.ckpt").info["weights_sha256"] == metrics(finished)["weights_sha256"] == found["weights_sha256"]


def test_an_aim_out_of_reach_is_said_once_and_the_nearest_taken(finished: Path, train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    aim = ["operating_point.aim=precision", "operating_point.value=0.999"]
    best = f"checkpoint={finished}/checkpoints/best.ckpt"
    run = train_program(*tiny, *aim, "seed=3", "fit=false", best, f"hydra.run.dir={tmp_path}/run", figures=False)
    assert run.status == 0, run.err
    assert run.out.count("no score reaches a precision of 0.999 on the validation pictures; the nearest is precision ") == 1
    assert 0 < metrics(tmp_path / "run")["val"]["precision"] < 0.999
    alone = train_program(*tiny, *aim, "seed=3", "fit=false", best, "data.split={train: 0.5, test: 0.5}", f"hydra.run.dir={tmp_path}/alone", figures=False)
    assert alone.status == 0, alone.err
    assert "there are no validation pictures" in alone.out


def test_tensorboard_holds_curves_and_final_scores(finished: Path) -> None:
    events = EventAccumulator(str(finished / "tensorboard"))
    events.Reload()
    assert {"val/map", "train/box", "lr", "final/test/map"} <= set(events.Tags()["scalars"])
    assert "figures/PR_curve" in events.Tags()["images"]


# Ways to run --------------------------------------------------------------------------------------------------------------------------------------------------


def test_everything_can_train(train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    """Nothing held out: no scores, no early stopping, the last average is the best."""
    run = train_program(*tiny, "data.split=all", "callbacks.early_stopping.patience=1", "trainer.max_epochs=3", f"hydra.run.dir={tmp_path}/all")
    assert run.status == 0, run.err
    found = metrics(tmp_path / "all")
    assert "val" not in found
    assert "test" not in found
    best, last = (torch.load(tmp_path / "all" / "checkpoints" / f"{name}.ckpt", weights_only=True) for name in ("best", "last"))
    assert best["epoch"] == last["epoch"] == 2
    assert all(torch.equal(value, last["state_dict"][name]) for name, value in best["state_dict"].items())
    assert best["exolight"]["thresholds"]["score"] == 0.25
    assert len(pd.read_csv(tmp_path / "all" / "results.csv")) == 3


def test_a_head_without_anchors(train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    """The smallest model with the other head, from training to a checkpoint that predicts."""
    run = train_program(*tiny, "model=t", "head=distribution", f"hydra.run.dir={tmp_path}")
    assert run.status == 0, run.err
    assert {"train/box", "train/distribution", "train/score", "val/score", "val/map"} <= set(pd.read_csv(tmp_path / "results.csv").columns)
    found = metrics(tmp_path)
    assert found["anchors"] == [[], [], []]
    assert {"box", "distribution", "score"} <= set(found["val"])
    assert (tmp_path / "figures" / "assignment.png").is_file()
    loaded = load_detector(tmp_path / "checkpoints" / "best.ckpt")
    with torch.inference_mode():
        boxes, scores = loaded.detector.decode(loaded.detector(torch.zeros(1, 1, 64, 96)))
    assert (boxes.shape, scores.shape) == ((1, 126, 4), (1, 126, 1))  # 8 x 12 + 4 x 6 + 2 x 3 cells

    # scored like any other checkpoint, without being told of its head; only the losses, which belong to another, are left out
    again = train_program(*tiny, "fit=false", f"checkpoint={tmp_path}/checkpoints/best.ckpt", f"hydra.run.dir={tmp_path}/again", figures=False)
    assert again.status == 0, again.err
    assert metrics(tmp_path / "again")["val"]["map"] == pytest.approx(found["val"]["map"])
    assert "box" not in metrics(tmp_path / "again")["val"]

    mixed = train_program(*tiny, "head=distribution", "model.head=anchor", f"hydra.run.dir={tmp_path}/mixed", figures=False)
    assert mixed.status == 2
    assert "this loss is for head=distribution, the detector has anchor: choose both with head=" in mixed.err


def test_pictures_without_objects_are_data(train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    run = train_program(*tiny, "simulation.vesicles.empty_fraction=1.0", f"hydra.run.dir={tmp_path}/empty")
    assert run.status == 0, run.err
    assert "none of the 3 validation pictures has an object" in run.out
    assert (tmp_path / "empty" / "checkpoints" / "best.ckpt").is_file()
    assert metrics(tmp_path / "empty")["val"]["map"] is None


def wandb_records(file: Path) -> Iterator[Any]:
    """The records of an offline run: LevelDB's log format (blocks of 32 KiB, seven bytes before each piece), a protocol buffer each."""
    from wandb.proto import wandb_internal_pb2

    content, position, data = file.read_bytes(), 7, b""
    while position + 7 <= len(content):
        left = 32768 - position % 32768
        if left < 7:
            position += left
            continue
        _, length, kind = struct.unpack("<IHB", content[position : position + 7])
        data += content[position + 7 : position + 7 + length]
        position += 7 + length
        if kind in (1, 4):  # whole, or the last piece
            record = wandb_internal_pb2.Record()
            record.ParseFromString(data)
            yield record
            data = b""


def test_a_sweep_keeps_its_runs_apart(train_program: Program, tiny: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two jobs of one process, each with a folder and a W&B run of its own; both validate, though they are shorter than the validation's interval."""
    monkeypatch.delenv("WANDB_API_KEY", raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))
    monkeypatch.setenv("WANDB_DATA_DIR", str(tmp_path / "staging"))
    monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path / "cache"))
    arguments = [*tiny, "logger=wandb", "-m", "model=n,n_p2", "trainer.check_val_every_n_epoch=5", f"hydra.sweep.dir={tmp_path}/sweep"]
    run = train_program(*arguments, figures=False)
    assert run.status == 0, run.err
    assert {path.name for path in (tmp_path / "sweep").iterdir()} == {"0", "1", "multirun.yaml"}
    identifiers = set()
    for job, strides in (("0", [8, 16, 32]), ("1", [4, 8, 16, 32])):
        folder = tmp_path / "sweep" / job
        best = torch.load(folder / "checkpoints" / "best.ckpt", weights_only=True)
        assert best["exolight"]["detector"]["strides"] == strides
        assert len(pd.read_csv(folder / "results.csv")) == 1
        assert (folder / "train.log").read_text("utf-8").count("run folder:") == 1
        (file,) = (folder / "wandb").glob("offline-run-*/run-*.wandb")
        records = list(wandb_records(file))
        identifiers |= {r.run.run_id for r in records if r.WhichOneof("record_type") == "run"}
        config = {u.key: json.loads(u.value_json) for r in records if r.WhichOneof("record_type") == "config" for u in r.config.update}
        assert config["model"]["strides"] == strides
        assert config["data"]["image_size"] == 64
        history = [{i.key or "/".join(i.nested_key): i.value_json for i in r.history.item} for r in records if r.WhichOneof("record_type") == "history"]
        logged = {name: float(value) for row in history for name, value in row.items() if "map" in name}
        assert logged["val/map"] == logged["final/val/map"] == pytest.approx(metrics(folder)["val"]["map"])
        assert sum(r.WhichOneof("record_type") == "artifact" for r in records) == 1
        (ended,) = (r.exit.exit_code for r in records if r.WhichOneof("record_type") == "exit")
        assert ended == 0
    assert len(identifiers) == 2


def test_wandb_out_of_reach_does_not_stop_a_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    import wandb

    def unreachable(**settings: Any) -> None:
        raise wandb.errors.CommError(f"no route, mode {settings['mode']}\nmore")

    monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
    monkeypatch.setattr(wandb, "init", unreachable)
    logger = wandb_logger(tmp_path)
    assert isinstance(logger, WandbLogger)
    assert logger._offline
    assert "no route, mode online" in caplog.text


# What the user can mend comes out as one line -----------------------------------------------------------------------------------------------------------------


def refused(train_program: Program, arguments: list[str], *words: str) -> None:
    run = train_program(*arguments)
    assert run.status not in (0, None)
    assert "Traceback" not in run.err + run.out
    lines = [line for line in run.err.splitlines() if line.strip() and not line.startswith("INFO:")]
    assert len(lines) == 1, run.err
    assert lines[0].startswith("error: ")
    for word in words:
        assert word in lines[0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["model.backbone.name=resnt50"], ["resnt50", "resnet50"]),
        (["fit=false"], ["checkpoint="]),
        (["fit=false", "checkpoint=missing.ckpt"], ["missing.ckpt"]),
        (["checkpoint=some.ckpt"], ["fit=false"]),
        (["resume=missing/checkpoints/last.ckpt"], ["missing", "last.ckpt"]),
        (["init=checkpoint"], ["init.path"]),
        (["init=checkpoint", "init.path=missing.ckpt"], ["missing.ckpt"]),
        (["data.image_size=100"], ["data.image_size=100", "32", "96"]),
        (["data.batch_size=4.5"], ["data.batch_size=4.5"]),
        (["seed=null"], ["seed"]),
        (["trainer.max_epochs=0"], ["trainer.max_epochs=0"]),
        (["trainer.max_epoch=3"], ["trainer.max_epochs"]),
        (["trainer.precision=seven"], ["seven"]),
        (["model=q"], ["model=q", "n_p2"]),
        (["thresholds=best"], ["thresholds=evaluation"]),
        (["thresholds.score=high"], ["thresholds.score"]),
        (["operating_point.aim=accuracy"], ["operating_point.aim=accuracy", "precision"]),
        (["operating_point.aim=recall"], ["operating_point.value", "recall"]),
        (["operating_point.value=0.9"], ["operating_point.value=0.9", "operating_point.aim"]),
        (["operating_point.ious=[0.5,5]"], ["operating_point.ious"]),
        (["thresholds.score=0,5"], ["-m"]),
        (["data.split=halves"], ["halves", "standard"]),
        (["model.in_chans=2"], ["in_chans"]),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) and "=" in value[0] else "",
)
def test_bad_settings(train_program: Program, tiny: list[str], tmp_path: Path, arguments: list[str], words: list[str]) -> None:
    refused(train_program, [*tiny, f"hydra.run.dir={tmp_path}/run", *arguments], *words)


def test_a_detector_alone_is_no_training_to_resume(train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    torch.save({"exolight": {"detector": {}}, "state_dict": {}}, tmp_path / "slim.ckpt")
    refused(train_program, [*tiny, f"hydra.run.dir={tmp_path}/run", f"resume={tmp_path}/slim.ckpt"], "slim.ckpt", "init=checkpoint")


@pytest.mark.skipif(torch.cuda.is_available(), reason="a GPU is there")
def test_a_missing_gpu(train_program: Program, tiny: list[str], tmp_path: Path) -> None:
    refused(train_program, [*tiny, f"hydra.run.dir={tmp_path}/run", "trainer=gpu"], "gpu")


@pytest.mark.parametrize("data", ["yolo", "masks", "coco", "cbia"])
def test_bad_folders(train_program: Program, tiny: list[str], tmp_path: Path, data: str) -> None:
    arguments = [a for a in tiny if not a.startswith("data.source")] + [f"hydra.run.dir={tmp_path}/run", f"data={data}"]
    refused(train_program, arguments, "data.root is missing")
    refused(train_program, [*arguments, f"data.root={tmp_path}/no such (folder), 1"], "no such (folder), 1")
    (tmp_path / "empty").mkdir()
    refused(train_program, [*arguments, f"data.root={tmp_path}/empty"], "empty")


# By nature slow -----------------------------------------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
def test_four_pictures_can_be_learned_by_heart(train_program: Program, tmp_path: Path) -> None:
    """Trained on all and scored on the same pictures, which only a training that works gets right."""
    arguments = [
        "data.image_size=160", "data.source.count=4", "data.source.image_hw=[160,160]", "simulation.vesicles.empty_fraction=0", "data.batch_size=4",
        "data.num_workers=0", "logger=none", "~callbacks.progress", "init=random",
    ]  # fmt: skip
    trained = train_program(
        *arguments, "data.split=all", "augmentation=none", "trainer.max_epochs=300", "callbacks.average.ramp=2000", "scheduler.warmup_batches=10",
        f"hydra.run.dir={tmp_path}/run", figures=False,
    )  # fmt: skip
    assert trained.status == 0, trained.err
    names = [f"simulated_{i:05d}" for i in range(4)]
    split = f"data.split={{train: [{names[0]}], val: [{names[1]}], test: [{', '.join(names[2:])}]}}"
    best = f"checkpoint={tmp_path}/run/checkpoints/best.ckpt"
    scored = train_program(*arguments, split, "fit=false", best, f"hydra.run.dir={tmp_path}/scored", figures=False)
    assert scored.status == 0, scored.err
    assert metrics(tmp_path / "scored")["test"]["map_50"] > 0.9
    assert metrics(tmp_path / "scored")["val"]["map_50"] > 0.9

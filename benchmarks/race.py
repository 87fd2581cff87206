"""exolight, YOLOv5 and YOLO11 trained and run side by side: same pictures, boxes, size, batch, epochs, one after the other.

    python benchmarks/race.py setup                         # once: the peers' virtual environments
    python benchmarks/race.py train --emps PATH/TO/emps     # trains each from random weights and scores each; --only exolight,yolov5n,yolo11n
    python benchmarks/race.py predict --emps PATH/TO/emps   # times each one's predictor with what was trained; --pictures DIR for others
    python benchmarks/race.py score --emps PATH/TO/emps --weights exolight=best.ckpt     # only scores

The peers (AGPL) are only called, through their command lines, in environments of their own; nothing of theirs is imported or copied here. Everything is kept
in --work (default benchmarks/.race): the data as YOLO text made by exolight's reader of masks, logs, and race.json, to which each command adds.

What is measured:
- training, pictures/s: the training pictures over the seconds from the first sign of an epoch to its full progress bar, by time stamps that are put on the
  output as it arrives; epochs after the first, validation excluded. Peak memory and wall time (start to exit) as ``race_measure.Run`` says.
- AP50-95, AP50, best F1 (IoU 0.5) and its threshold: all by exolight's evaluation, from YOLO text that each one's own predictor wrote for the validation
  pictures at confidence 0.001, overlap 0.6, up to 1000 boxes a picture.
- predicting, at confidence 0.25, overlap 0.45, batch 1, from files to boxes in files: wall time of the process over ``--copies`` times all pictures;
  ms a picture: (time with all copies - time with one) / difference in pictures, so that start-up cancels; and what each says of itself. these are cut
  differently (the peers' preprocessing is much shorter than reading a file); exolight's "read" is all from the file on. No pictures are written:
  exolight writes tables, COCO JSON and YOLO text, the peers YOLO text. Competitors take turns over ``--rounds``, after a run of each that
  is not counted; medians and (ranges).

Recipes are each one's defaults: exolight's experiment=emps, YOLOv5's hyp.scratch-low, YOLO11's optimizer=auto. exolight is model n with anchors, exolight-n and
exolight-t are models n and t with head=distribution. Plots of the peers are off. The best epoch is chosen by each on the validation pictures. All learn from
boxes alone (experiment=emps on the masks themselves also knows outlines).
"""

import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

from race_measure import (
    Run,
    epoch_seconds,
    own_milliseconds,
    prediction_table,
    read_log,
    run_measured,
    score_labels,
    table_milliseconds,
    training_speed,
    training_table,
)

from exolight.annotated_image import AnnotatedImage
from exolight.data.annotations import read_masks, read_yolo

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
YOLOV5 = "{v5}/lib/python{py}/site-packages/yolov5"  # yolov5's pip package keeps its model and recipe files here

# The versions that were tried: yolov5 7.0.14 needs numpy before 2.4 (np.trapz) and setuptools before 81 (pkg_resources).
ENVIRONMENTS = {
    "v5": ("torch==2.14.1", "torchvision==0.29.2", "yolov5==7.0.14", "ultralytics==8.4.190", "numpy==2.3.5", "pandas==3.1.1", "setuptools==80.10.2"),
    "v11": ("torch==2.14.1", "torchvision==0.29.2", "ultralytics==8.4.190", "numpy==2.4.6"),
}
SETTINGS_OFF = ("sync", "clearml", "comet", "dvc", "mlflow", "raytune", "tensorboard", "wandb", "vscode_msg", "openvino_msg")
DEVICES = {"cpu": {"trainer": "cpu", "cuda": "cpu", "index": "cpu"}, "gpu": {"trainer": "gpu", "cuda": "cuda", "index": "0"}}


class Trained(NamedTuple):
    """How a competitor is trained and evaluated: command lines, split at blanks before {names} are filled in; {empty} is an empty word."""

    train: str
    weights: str  # where the training leaves the best ones
    evaluate: str


_EXOLIGHT = "{python} {root}/predict.py {source} checkpoint={weights} output={out} device={cuda} batch_size=1 overlays=false quality=none"
_DETECT = "{v5}/bin/yolov5 detect --weights {weights} --source {source} --imgsz {size} --device {index} --nosave --save-txt --save-conf --max-det 1000 --exist-ok --project {parent} --name {name}"  # noqa: E501
_PREDICT = "{v11}/bin/yolo detect predict model={weights} source={source} imgsz={size} device={index} save=False save_txt=True save_conf=True max_det=1000 exist_ok=True project={parent} name={name}"  # noqa: E501
_EXOLIGHT_TRAINS = (
    "{python} {root}/train.py experiment=emps data=yolo data.root={data} data.split=folders data.image_size={size} data.batch_size={batch} "
    "trainer={trainer} trainer.max_epochs={epochs} seed={seed} hydra.run.dir={out}"
)
_EXOLIGHT_LEAVES = "{out}/checkpoints/best.ckpt"
_EXOLIGHT_SCORES = _EXOLIGHT + " thresholds=evaluation backend=torch"
COMPETITORS = {
    "exolight": Trained(_EXOLIGHT_TRAINS, _EXOLIGHT_LEAVES, _EXOLIGHT_SCORES),
    "exolight-n": Trained(_EXOLIGHT_TRAINS + " head=distribution", _EXOLIGHT_LEAVES, _EXOLIGHT_SCORES),
    "exolight-t": Trained(_EXOLIGHT_TRAINS + " head=distribution model=t", _EXOLIGHT_LEAVES, _EXOLIGHT_SCORES),
    "yolov5n": Trained(
        f"{{v5}}/bin/yolov5 train --weights {{empty}} --cfg {YOLOV5}/models/yolov5n.yaml --hyp {YOLOV5}/data/hyps/hyp.scratch-low.yaml "
        "--data {data}/data.yaml --imgsz {size} --batch-size {batch} --epochs {epochs} --seed {seed} --device {index} --noplots --exist-ok "
        "--project {parent} --name {name}",
        "{out}/weights/best.pt",
        _DETECT + " --conf-thres 0.001 --iou-thres 0.6",
    ),
    "yolo11n": Trained(
        "{v11}/bin/yolo detect train model=yolo11n.yaml pretrained=False data={data}/data.yaml imgsz={size} batch={batch} epochs={epochs} seed={seed} "
        "device={index} plots=False exist_ok=True project={parent} name={name}",
        "{out}/weights/best.pt",
        _PREDICT + " conf=0.001 iou=0.6",
    ),
}
PREDICTORS = {  # name: (whose weights, command line)
    "yolov5n": ("yolov5n", _DETECT + " --conf-thres 0.25 --iou-thres 0.45"),
    "yolo11n": ("yolo11n", _PREDICT + " conf=0.25 iou=0.45"),
} | {
    f"{name} ({backend})": (name, f"{_EXOLIGHT} thresholds=default backend={backend}")
    for name in ("exolight", "exolight-n", "exolight-t")
    for backend in ("torch", "onnx", "openvino")
}


def peer_variables(environments: Path) -> dict[str, str]:
    """What keeps the peers offline, their settings out of the home folder, and lets YOLOv5 load its own checkpoints with a newer torch."""
    config = str(environments / "config")
    offline = {"YOLO_OFFLINE": "true", "WANDB_MODE": "disabled", "YOLO_AUTOINSTALL": "false"}
    return {"YOLO_CONFIG_DIR": config, "YOLOV5_CONFIG_DIR": config, "TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD": "1"} | offline


def setup(options: argparse.Namespace) -> None:
    """Make or complete the environments; a font of matplotlib's stands in for the one that the peers would download."""
    for name, packages in ENVIRONMENTS.items():
        folder = options.environments / name
        if not (folder / "bin" / "python").exists():
            subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
        subprocess.run([str(folder / "bin" / "python"), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *packages], check=True)
    config = options.environments / "config"
    config.mkdir(exist_ok=True)
    variables = {**os.environ, **peer_variables(options.environments)}
    switch_off = [str(options.environments / "v11/bin/yolo"), "settings", *(f"{key}=False" for key in SETTINGS_OFF)]
    subprocess.run(switch_off, env=variables, check=True, stdout=subprocess.DEVNULL)
    font = next((options.environments / "v11").rglob("DejaVuSans.ttf"))
    for folder in (config, config / "Ultralytics"):
        shutil.copyfile(font, folder / "Arial.ttf")


def write_data(emps: Path, data: Path) -> None:
    """EMPS as a YOLO data set: images/ and labels/ with train/ and val/, and data.yaml; nothing where it is already there."""
    if (data / "data.yaml").is_file():
        return
    images, names = read_masks(emps)
    by_stem = {Path(image.name).stem: image for image in images}
    for part in ("train", "val"):
        for folder in ("images", "labels"):
            (data / folder / part).mkdir(parents=True, exist_ok=True)
        for stem in (emps / f"{part}.txt").read_text("utf-8").split():
            image = by_stem[stem]
            assert image.path is not None
            shutil.copyfile(image.path, data / "images" / part / image.path.name)
            (data / "labels" / part / f"{stem}.txt").write_text(yolo_text(image), "utf-8")
    text = f"path: {json.dumps(str(data))}\ntrain: images/train\nval: images/val\nnc: {len(names)}\nnames: {json.dumps(names)}\n"
    (data / "data.yaml").write_text(text, "utf-8")  # last: its presence says that all is there


def yolo_text(image: AnnotatedImage) -> str:
    """A line an object: class, centre and size in fractions of the picture."""
    height, width = image.image_hw
    rows = zip(image.labels.tolist(), image.boxes.tolist(), strict=True)
    return "".join(
        f"{label} {(x1 + x2) / 2 / width:.8f} {(y1 + y2) / 2 / height:.8f} {(x2 - x1) / width:.8f} {(y2 - y1) / height:.8f}\n"
        for label, (x1, y1, x2, y2) in rows
    )  # fmt: skip


class Race:
    """The commands of one call, filled in, run and written down."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.work, self.data = options, options.work, options.work / "data"
        self.weights: dict[str, str] = dict(options.weights)
        self.record: dict[str, Any] = json.loads((self.work / "race.json").read_text("utf-8")) if (self.work / "race.json").is_file() else {}

    def values(self, out: Path, **more: object) -> dict[str, object]:
        options, environments = self.options, self.options.environments
        paths = {"python": sys.executable, "root": ROOT, "data": self.data, "v5": environments / "v5", "v11": environments / "v11", "empty": ""}
        names = {"py": ".".join(platform.python_version_tuple()[:2]), "out": out, "parent": out.parent, "name": out.name}
        return {**vars(options), **paths, **names, **DEVICES[options.device], **more}

    def run(self, template: str, out: Path, log: str, **more: object) -> Run:
        """The command with its names filled in; peers' variables reach the peers alone."""
        command = [word.format(**self.values(out, **more)) for word in template.split()]
        variables = {} if command[0] == sys.executable else peer_variables(self.options.environments)
        run = run_measured(command, self.work / "logs" / f"{log}.log", self.work, variables, gpu=self.options.device == "gpu")
        print(f"{log}: {run.seconds:.1f} s, exit status {run.code}", file=sys.stderr, flush=True)
        return run

    def weights_of(self, name: str) -> str:
        """Those given with --weights, else those trained here."""
        return self.weights.get(name) or COMPETITORS[name].weights.format(out=self.work / "train" / name)

    def train(self, name: str) -> dict[str, Any]:
        """Train and score one."""
        for cache in self.data.rglob("*.cache"):  # the peers' notes on the labels, of the same name but not of the same kind
            cache.unlink()
        load, pictures = os.getloadavg(), len(list((self.data / "images/train").iterdir()))
        run = self.run(COMPETITORS[name].train, self.work / "train" / name, f"train {name}")
        seconds = epoch_seconds(read_log(run.log))
        measured: dict[str, Any] = {"pictures_per_second": training_speed(seconds, pictures), "wall_s": run.seconds}
        measured |= {"peak_mib": run.peak_mib, "peak_gpu_mib": run.peak_gpu_mib}
        measured |= {"cores_used": run.cpu_seconds / run.seconds, "epoch_s": seconds, "load_before": load, "load_after": os.getloadavg()}
        return {"failed": run.last_line} if run.code else measured | self.score(name)

    def score(self, name: str) -> dict[str, Any]:
        """Predict the validation pictures at confidence 0.001 and score what was found."""
        out = self.work / "evaluate" / name
        shutil.rmtree(out, ignore_errors=True)
        weights = self.weights_of(name)
        run = self.run(COMPETITORS[name].evaluate, out, f"evaluate {name}", source=self.data / "images/val", weights=weights)
        if run.code:
            return {"failed": run.last_line}
        annotated, names = read_yolo(self.data)
        validation = [image for image in annotated if image.name.startswith("images/val/")]
        return {"weights": weights, **score_labels(validation, out / "labels", names)}

    def predict(self, name: str, source: Path) -> Run:
        """One timed process."""
        out = self.work / "predict" / name
        shutil.rmtree(out, ignore_errors=True)
        whose, command = PREDICTORS[name]
        return self.run(command, out, f"predict {name}", source=source, weights=self.weights_of(whose))

    def own_milliseconds(self, name: str, run: Run) -> dict[str, float]:
        """What the competitor says of itself, a picture."""
        images = self.work / "predict" / name / "images.csv"
        return table_milliseconds(images.read_text("utf-8")) if images.is_file() else own_milliseconds(read_log(run.log))

    def note(self, kind: str, settings: str, name: str, result: Mapping[str, Any]) -> None:
        """Add a result to race.json, beside the circumstances of this call."""
        about: dict[str, Any] = {"when": datetime.now().isoformat(timespec="seconds"), "command": sys.argv, "machine": machine()}
        about["versions"] = versions(self.options.environments)
        self.record.setdefault(kind, {}).setdefault(settings, {})[name] = {**result, **about}
        part = self.work / "race.part"
        part.write_text(json.dumps(self.record, indent=1), "utf-8")
        part.replace(self.work / "race.json")


def machine() -> dict[str, Any]:
    """Processor, cores, system and GPU."""
    info = Path("/proc/cpuinfo")
    models = [line.split(":", 1)[1].strip() for line in info.read_text().splitlines() if line.startswith("model name")] if info.is_file() else []
    gpu = None
    if shutil.which("nvidia-smi"):
        gpu = subprocess.run(["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"], capture_output=True, text=True, check=False).stdout.strip() or None
    variables = {key: os.environ[key] for key in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "CUDA_VISIBLE_DEVICES") if key in os.environ}
    return {"cpu": models[0] if models else platform.processor(), "cores": os.cpu_count(), "system": platform.platform(), "gpu": gpu, "variables": variables}


def versions(environments: Path) -> dict[str, dict[str, str]]:
    """Of the packages that decide speed and results, in each environment."""
    wanted = "exolight", "torch", "torchvision", "numpy", "ultralytics", "yolov5", "onnxruntime", "openvino", "opencv-python", "opencv-python-headless"
    code = "import json, sys; from importlib.metadata import distributions as d; print(json.dumps({x.name: x.version for x in d() if x.name in sys.argv}))"
    pythons = {"exolight": Path(sys.executable)} | {name: environments / name / "bin" / "python" for name in ENVIRONMENTS}
    found = {name: [str(path), "-I", "-c", code, *wanted] for name, path in pythons.items() if path.exists()}
    return {name: json.loads(subprocess.run(command, capture_output=True, check=True).stdout) for name, command in found.items()}


def train_or_score(race: Race, options: argparse.Namespace) -> None:
    """Each competitor asked for, one after the other; a failure is noted and the next one starts."""
    training = options.action == "train"
    there = [str(race.work / "train" / name) for name in options.only if training and (race.work / "train" / name).exists()]
    if there:
        sys.exit(f"already trained: {', '.join(there)}; remove it to train again, or give another --work")
    settings = f"{options.size} px, batch {options.batch}, {options.epochs} epochs, seed {options.seed}, {options.device}" if training else "weights as given"
    for name in options.only:
        race.note(options.action, settings, name, race.train(name) if training else race.score(name))
    print(f"{settings}\n\n{training_table(race.record[options.action][settings])}")


def predict(race: Race, options: argparse.Namespace) -> None:
    """Rounds in which the predictors take turns, each with the pictures once and ``copies`` times."""
    source = options.pictures or race.data / "images/val"
    pictures = sorted(path for path in source.iterdir() if path.is_file())
    folders = {1: race.work / "pictures_once", options.copies: race.work / "pictures_copied"}
    for copies, folder in folders.items():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for path in pictures:
            for copy in range(copies):
                shutil.copyfile(path, folder / f"{path.stem}_{copy}{path.suffix}")
    runs: dict[str, dict[int, list[Run]]] = {name: {copies: [] for copies in folders} for name in options.only}
    failed: dict[str, str] = {}
    own: dict[str, list[dict[str, float]]] = {name: [] for name in options.only}
    for round_ in range(options.rounds):
        for name in [name for name in options.only if name not in failed]:
            if round_ == 0:
                race.predict(name, folders[1])  # its program and weights come from a cold disk: not counted
            for copies, folder in folders.items():
                run = race.predict(name, folder)
                if run.code:
                    failed[name] = run.last_line
                    break
                runs[name][copies].append(run)
            else:
                own[name].append(race.own_milliseconds(name, run))
    settings = f"{len(pictures)} pictures, {options.copies} copies, {options.size} px, {options.device}"
    for name, of in runs.items():
        if name in failed:
            race.note("predict", settings, name, {"failed": failed[name]})
            continue
        few, many = of[1], of[options.copies]
        ms = [1000 * (b.seconds - a.seconds) / (len(pictures) * (options.copies - 1)) for a, b in zip(few, many, strict=True)]
        medians = {key: statistics.median(round_[key] for round_ in own[name]) for key in own[name][0]}
        whole = {"whole_s": [run.seconds for run in many], "whole_once_s": [run.seconds for run in few]}
        costs = {
            "peak_mib": max((r.peak_mib for r in many if r.peak_mib), default=None),
            "cores_used": statistics.median(r.cpu_seconds / r.seconds for r in many),
        }
        race.note("predict", settings, name, {"ms": ms, **whole, "own_ms": medians, **costs, "weights": race.weights_of(PREDICTORS[name][0])})
    print(f"{settings}\n\n{prediction_table(race.record['predict'][settings])}")


def weights_option(text: str) -> tuple[str, str]:
    """NAME=FILE."""
    name, _, file = text.partition("=")
    if name not in COMPETITORS or not Path(file).is_file():
        raise argparse.ArgumentTypeError(f"{text}: wanted one of {', '.join(COMPETITORS)}, =, and a file that is there")
    return name, str(Path(file).resolve())


def read_options(arguments: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("setup", "train", "score", "predict"))
    parser.add_argument("--environments", type=Path, default=HERE / ".peers", help="folder of the peers' virtual environments")
    parser.add_argument("--work", type=Path, default=HERE / ".race", help="folder for data, logs, weights and race.json")
    parser.add_argument("--emps", type=Path, help="EMPS: images/, masks/, train.txt, val.txt; not needed once the data are in --work")
    parser.add_argument("--only", help="competitors, with commas; all by default")
    parser.add_argument("--weights", type=weights_option, action="append", default=[], metavar="NAME=FILE", help="in place of those trained in --work")
    parser.add_argument("--pictures", type=Path, help="predict: a folder of pictures; the validation pictures by default")
    parser.add_argument("--device", choices=tuple(DEVICES), default="cpu")
    for name, value in (("size", 512), ("batch", 16), ("epochs", 60), ("seed", 0), ("rounds", 3), ("copies", 4)):
        parser.add_argument(f"--{name}", type=int, default=value, help=f"default {value}")
    options = parser.parse_args(arguments)
    known = PREDICTORS if options.action == "predict" else COMPETITORS
    options.only = options.only.split(",") if options.only else list(known)
    if set(options.only) - set(known):
        parser.error(f"--only {','.join(options.only)}: known are {', '.join(known)}")
    if options.copies < 2 or options.rounds < 1:
        parser.error("--copies must be at least 2, --rounds at least 1")
    options.environments, options.work = options.environments.resolve(), options.work.resolve()
    if options.action != "setup" and options.emps is None and not (options.work / "data/data.yaml").is_file():
        parser.error("--emps is needed")
    return options


def main() -> None:
    """Do what was asked; ended from outside, the competitor that runs is ended too."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    options = read_options()
    if options.action == "setup":
        options.environments.mkdir(parents=True, exist_ok=True)
        setup(options)
        return
    options.work.mkdir(parents=True, exist_ok=True)
    race = Race(options)
    if options.emps is not None:
        write_data(options.emps.resolve(), race.data)
    predict(race, options) if options.action == "predict" else train_or_score(race, options)


if __name__ == "__main__":
    main()

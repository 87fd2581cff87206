"""The parts of benchmarks/race.py that need no peers: logs, scores, tables, and how a process is run."""

import sys
from pathlib import Path

import numpy as np
import pytest

from exolight.annotated_image import AnnotatedImage
from exolight.data.annotations import read_yolo

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))  # scripts, no package
import race
import race_measure

YOLOV5 = """\
9.000\t\x1b[34m\x1b[1mtrain: \x1b[0mScanning train... 24 images, 0 backgrounds, 0 corrupt: 100%|##########| 24/24 [00:00<00:00, 1062.60it/s]
10.000\t      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size
10.100\t  0%|          | 0/3 [00:00<?, ?it/s]
12.000\t        0/1         0G     0.1303    0.06296          0        158        256:  33%|###3      | 1/3 [00:02<00:04,  2.11s/it]
16.000\t        0/1         0G     0.1311    0.04847          0        113        256: 100%|##########| 3/3 [00:04<00:00,  1.40s/it]
16.100\t        0/1         0G     0.1311    0.04847          0        113        256: 100%|##########| 3/3 [00:04<00:00,  1.49s/it]
18.000\t                 Class     Images  Instances          P          R      mAP50   mAP50-95: 100%|##########| 1/1 [00:01<00:00,  1.16s/it]
20.000\t      Epoch    GPU_mem   box_loss   obj_loss   cls_loss  Instances       Size
24.000\t        1/1         0G     0.1311    0.04847          0        113        256: 100%|##########| 3/3 [00:04<00:00,  1.40s/it]
25.000\t                 Class     Images  Instances          P          R      mAP50   mAP50-95: 100%|##########| 1/1 [00:01<00:00,  1.16s/it]
"""
YOLO11 = """\
10.000\t      Epoch    GPU_mem   box_loss   cls_loss   dfl_loss  Instances       Size
11.000\t\x1b[K        2/2         0G      3.814      3.671      4.182         48        256: 0% ──────────── 0/3  1.5s
13.000\t\x1b[K        2/2         0G      4.164      3.697      4.191        136        256: 66% ━━━━━━━━──── 2/3 2.1s/it 3.7s<2.1s
15.000\t\x1b[K        2/2         0G      4.164      3.697      4.191        136        256: 100% ━━━━━━━━━━━━ 3/3 1.2s/it 3.7s
16.000\t\x1b[K                 Class     Images  Instances      Box(P          R      mAP50  mAP50-95): 100% ━━━━━━━━━━━━ 1/1 2.2it/s 0.5s
"""
EXOLIGHT = """\
7.000\tTraining: |          | 0/? [00:00<?, ?it/s]
8.000\tEpoch 0:   0%|          | 0/3 [00:00<?, ?it/s]
10.000\tEpoch 0: 100%|##########| 3/3 [00:01<00:00,  1.95it/s]
11.000\tValidation DataLoader 0: 100%|##########| 1/1 [00:00<00:00,  1.25it/s]\x1b[A
12.000\tEpoch 0: 100%|##########| 3/3 [00:02<00:00,  1.13it/s, mAP50=0.0114]
12.500\tEpoch 0:   0%|          | 0/3 [00:00<?, ?it/s, mAP50=0.0114]        
13.000\tEpoch 1:   0%|          | 0/3 [00:00<?, ?it/s, mAP50=0.0114]
15.500\tEpoch 1: 100%|##########| 3/3 [00:01<00:00,  1.74it/s, mAP50=0.0114]
"""  # noqa: W291


@pytest.mark.parametrize(("text", "expected"), [(YOLOV5, [6.0, 4.0]), (YOLO11, [5.0]), (EXOLIGHT, [2.0, 3.0])], ids=["yolov5", "yolo11", "exolight"])
def test_an_epoch_lasts_from_its_first_sign_to_its_full_bar(tmp_path: Path, text: str, expected: list[float]) -> None:
    (tmp_path / "log").write_text(text, "utf-8")
    assert race_measure.epoch_seconds(race_measure.read_log(tmp_path / "log")) == pytest.approx(expected)


def test_the_first_epoch_is_left_out_of_the_speed() -> None:
    assert race_measure.training_speed([100.0, 2.0, 4.0], 30) == 10.0
    assert race_measure.training_speed([100.0], 30) is None


@pytest.mark.parametrize(
    "line",
    [
        "Speed: 0.6ms pre-process, 64.4ms inference, 389.6ms NMS per image at shape (1, 3, 512, 512)",
        "Speed: 0.6ms preprocess, 64.4ms inference, 389.6ms postprocess per image at shape (1, 3, 384, 512)",
        "Speed: 0.6ms preprocess, 64.4ms inference, 0.0ms loss, 389.6ms postprocess per image",
    ],
)
def test_what_the_peers_say_of_a_picture(line: str) -> None:
    assert race_measure.own_milliseconds([(1.0, "Speed: nothing"), (2.0, line)]) == {"preprocess": 0.6, "network": 64.4, "postprocess": 389.6}
    assert race_measure.own_milliseconds([(1.0, "no such line")]) == {}


def test_what_exolight_says_of_a_picture() -> None:
    assert race_measure.table_milliseconds("image,read_ms,network_ms,error\na.png,2,10,\nb.png,4,20,\nc.png,,,damaged\n") == {"read": 3, "network": 15}


def picture(boxes: list[list[float]], hw: tuple[int, int] = (100, 200)) -> AnnotatedImage:
    def reader() -> None:
        raise AssertionError("not needed")

    array = np.array(boxes, np.float32).reshape(-1, 4)
    return AnnotatedImage("images/val/a.png", reader, hw, array, np.zeros(len(array), np.int64), np.zeros(len(array), np.bool_))  # type: ignore[arg-type]


def test_yolo_text_becomes_boxes_in_pixels() -> None:
    result = race_measure.image_result(3, picture([[0, 0, 10, 10]]), "0 0.5 0.5 0.1 0.2 0.875\n\n0 0.25 0.1 0.5 0.2 0.5\n")
    np.testing.assert_allclose(result.boxes, [[90, 40, 110, 60], [0, 0, 100, 20]], atol=1e-4)
    np.testing.assert_allclose(result.scores, [0.875, 0.5])
    assert (result.image_id, result.labels.tolist(), result.boxes.dtype, result.scores.dtype) == (3, [0, 0], np.float32, np.float32)
    assert race_measure.image_result(0, picture([]), "").boxes.shape == (0, 4)


def test_scores_of_a_folder_of_labels(tmp_path: Path) -> None:
    images = [picture([[90, 40, 110, 60], [0, 0, 100, 20]])]
    perfect = "".join(f"{line} 0.75\n" for line in race.yolo_text(images[0]).splitlines())
    (tmp_path / "a.txt").write_text(perfect)
    scores = race_measure.score_labels(images, tmp_path, ["particle"])
    assert (scores["map"], scores["map_50"], scores["f1"]) == pytest.approx((1, 1, 1))
    (tmp_path / "a.txt").write_text(perfect.splitlines()[0])
    assert race_measure.score_labels(images, tmp_path, ["particle"])["f1"] == pytest.approx(2 / 3)
    (tmp_path / "a.txt").unlink()
    assert race_measure.score_labels(images, tmp_path, ["particle"])["map"] == 0


def test_all_train_on_the_boxes_of_the_masks(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    emps = tmp_path / "emps"
    for folder in ("images", "masks"):
        (emps / folder).mkdir(parents=True)
    for number, stem in enumerate(("one", "two")):
        mask = np.zeros((60, 80), np.uint16)
        mask[10:20, 30 : 50 + number], mask[40:45, 3:9] = 1, 7
        cv2.imwrite(str(emps / "images" / f"{stem}.png"), np.zeros((60, 80), np.uint8))
        cv2.imwrite(str(emps / "masks" / f"{stem}.png"), mask)
    (emps / "train.txt").write_text("one\n")
    (emps / "val.txt").write_text("two\n")
    race.write_data(emps, tmp_path / "data")
    images, names = read_yolo(tmp_path / "data")
    assert (names, [image.name for image in images]) == (["particle"], ["images/train/one.png", "images/val/two.png"])
    np.testing.assert_allclose(images[1].boxes, [[30, 10, 51, 20], [3, 40, 9, 45]], atol=1e-3)


def test_a_process_is_timed_and_its_words_are_stamped(tmp_path: Path) -> None:
    code = "import time; print('first', end='\\r'); print('second'); time.sleep(1.3); print('the end', end=''); raise SystemExit(3)"
    run = race_measure.run_measured([sys.executable, "-c", code], tmp_path / "logs" / "a.log", tmp_path)
    assert (run.code, run.last_line) == (3, "the end")
    assert 1.3 <= run.seconds < 60
    log = race_measure.read_log(run.log)
    assert [text for _, text in log] == ["first", "second", "the end"]
    assert log[0][0] < log[2][0] - 1
    if Path("/proc/self/smaps_rollup").is_file():
        assert run.peak_mib is not None
        assert 1 < run.peak_mib < 1000


def test_tables_tell_of_failures_and_ratios() -> None:
    done = {"ms": [40.0, 50.0, 60.0], "whole_s": [9.0], "own_ms": {"network": 20.04}, "peak_mib": 1024}
    text = race_measure.prediction_table({"exolight": {**done, "ms": [25.0]}, "yolov5n": done, "other": {"failed": "no | such\nthing"}})
    assert text.splitlines()[2:] == [
        "| exolight | 25.0 (25.0 to 25.0) | 0.50 | 9.0 (9.0 to 9.0) | network 20.0 | 1.00 |",
        "| yolov5n | 50.0 (40.0 to 60.0) | 1.00 | 9.0 (9.0 to 9.0) | network 20.0 | 1.00 |",
        "| other | failed: no / such thing | – | – | – | – |",
    ]
    scores = {"map": 0.5, "map_50": 0.75, "f1": 0.8, "threshold": 0.25}
    assert race_measure.training_table({"given": scores}).splitlines()[2] == "| given | 0.500 | 0.750 | 0.800 | 0.250 | – | – | – | – |"


def test_command_lines_are_filled_in_without_blanks_splitting_paths(tmp_path: Path) -> None:
    options = race.read_options(["train", "--emps", str(tmp_path), "--work", str(tmp_path / "with blank"), "--environments", str(tmp_path)])
    values = race.Race(options).values(tmp_path / "with blank" / "train" / "yolov5n", source="s", weights="w")
    for competitor in race.COMPETITORS.values():
        for template in (competitor.train, competitor.evaluate):
            words = [word.format(**values) for word in template.split()]
            assert any("with blank" in word for word in words)
            assert len(words) == len(template.split())
    for _, command in race.PREDICTORS.values():
        assert command.format(**values)

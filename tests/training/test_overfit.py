"""The whole training stack can learn eight real pictures by heart."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.mark.slow
def test_eight_real_pictures_are_learnt_by_heart(real_data, tmp_path):
    """mAP50 of at least 0.99 on the training pictures themselves: anything less is a bug in targets, loss, decoding or scoring."""
    emps = real_data / "emps"
    names = (emps / "train.txt").read_text().split()[:8]
    (tmp_path / "train.txt").write_text("\n".join(names))
    command = [sys.executable, "train.py", "data=masks", f"data.root={emps}", f"data.split={{train: '{tmp_path / 'train.txt'}'}}", "init=random", "augmentation=none"]
    settings = ["data.image_size=512", "data.batch_size=8", "data.num_workers=1", "module.nominal_batch=8", "trainer.max_epochs=250", "callbacks.average.ramp=50"]
    run = tmp_path / "run"
    subprocess.run([*command, *settings, "logger=none", f"hydra.run.dir={run}"], cwd=ROOT, check=True, timeout=1500)

    # Parts of one run may not overlap, so a second run scores the eight pictures as its test part.
    score = ["fit=false", f"checkpoint={run / 'checkpoints' / 'best.ckpt'}", f"data.split={{train: '{tmp_path / 'other.txt'}', test: '{tmp_path / 'train.txt'}'}}"]
    (tmp_path / "other.txt").write_text((emps / "train.txt").read_text().split()[8])
    scored = tmp_path / "scored"
    subprocess.run([*command[:4], *score, "logger=none", f"hydra.run.dir={scored}"], cwd=ROOT, check=True, timeout=300)
    assert json.loads((scored / "metrics.json").read_text())["test"]["map_50"] >= 0.99

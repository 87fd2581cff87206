"""What the shipped detector is worth as a start: few annotated pictures, fine-tuned from it and from random weights, the same pictures, budget and seeds.

    python benchmarks/few_shot.py --emps PATH/TO/emps [--pictures 8] [--seeds 0,1,2] [--inits simulated,random]

For each seed that many training pictures are drawn (the same for every init), ``train.py experiment=few_shot`` is run, and its best epoch is scored on all
pictures of val.txt. Runs are kept in --work; one that has finished is not run again.
"""

import argparse
import json
import random
import subprocess
import sys
from pathlib import Path
from statistics import mean, stdev

ROOT = Path(__file__).resolve().parents[1]


def drawn(emps: Path, count: int, seed: int) -> list[str]:
    """The training pictures of a seed."""
    return sorted(random.Random(seed).sample((emps / "train.txt").read_text("utf-8").split(), count))


def run(emps: Path, work: Path, init: str, seed: int, count: int, overrides: list[str]) -> dict[str, float]:
    """The validation scores of one run."""
    folder = work / f"{count} pictures" / f"{init} seed {seed}"
    result = folder / "metrics.json"
    if not result.exists():
        names = work / f"{count} pictures" / f"seed {seed}.txt"  # a file: on the command line 89e4044418 would be a number
        names.parent.mkdir(parents=True, exist_ok=True)
        names.write_text("\n".join(drawn(emps, count, seed)) + "\n", "utf-8")
        split = f"{{train: '{names.resolve()}', val: val.txt}}"
        command = [sys.executable, "train.py", "experiment=few_shot", f"init={init}", f"seed={seed}", f"data.root={emps}", f"data.split={split}"]
        subprocess.run([*command, "logger=none", f"hydra.run.dir={folder}", *overrides], cwd=ROOT, check=True)
    scores: dict[str, float] = json.loads(result.read_text("utf-8"))["val"]
    return scores


def row(name: str, values: list[float]) -> str:
    """A line of the table: each value, and their mean and standard deviation."""
    spread = f" ± {stdev(values):.3f}" if len(values) > 1 else ""
    return f"| {name} | {' / '.join(f'{v:.3f}' for v in values)} | {mean(values):.3f}{spread} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--emps", type=Path, required=True)
    parser.add_argument("--pictures", type=int, default=8)
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--inits", default="simulated,random")
    parser.add_argument("--work", type=Path, default=ROOT / "benchmarks" / ".few_shot")
    options, overrides = parser.parse_known_args()  # the rest is for train.py
    seeds = [int(seed) for seed in options.seeds.split(",")]
    lines = []
    for init in options.inits.split(","):
        scores = [run(options.emps.resolve(), options.work, init, seed, options.pictures, overrides) for seed in seeds]
        lines += [row(f"init={init}, {label}", [s[key] for s in scores]) for key, label in (("map_50", "AP50"), ("map", "AP"), ("f1", "best F1"))]
    print(f"\n| {options.pictures} pictures, val.txt | seeds {options.seeds} | mean |\n|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()

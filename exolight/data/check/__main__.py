"""python -m exolight.data.check data=masks data.root=FOLDER [out=FOLDER]: a data set looked at before training, as a page, tables and figures.

The settings of data, model and augmentation are those of train.py. The exit status is 0 where all is well (notes aside), 1 where there are problems, 2 where
the data set cannot be read.
"""

import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import MissingMandatoryValue

from exolight import command_line
from exolight.data.check.report import PAGE, Checked, check
from exolight.errors import InputError

CONF = Path(__file__).parents[3] / "conf"
PRINTED = 10  # problems on the terminal


def output_folder(cfg: DictConfig) -> Path:
    """Where the report goes. Raises ``InputError`` where that is unknown, occupied or within the data, or where a setting is missing."""
    try:
        OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except MissingMandatoryValue as error:
        raise InputError(f"{error.full_key} is missing: give {error.full_key}=...") from error
    if cfg.out is None:
        raise InputError("out is missing: say where the report goes with out=FOLDER")
    out = Path(cfg.out)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise InputError(f"out={out}: already holds files; give a new or empty folder")
    if cfg.data.root is not None and out.resolve().is_relative_to(Path(cfg.data.root).resolve()):
        raise InputError(f"out={out}: lies within data.root, where its figures would be taken for pictures of the data; give another folder")
    return out


def tell(checked: Checked, out: Path) -> str:
    """The report in a few lines, for the terminal."""
    lines = [f"{checked.sentence}; the page is {out / PAGE}"]
    for each in checked.problems[:PRINTED]:
        lines.append(f"{each.severity}: {': '.join(filter(None, (each.where, each.found)))}{'; ' if each.advice else ''}{each.advice}")
    if len(checked.problems) > PRINTED:
        lines.append(f"... and {len(checked.problems) - PRINTED} more")
    return "\n".join(lines)


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="check")
def main(cfg: DictConfig) -> None:
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]  # file names hold what a terminal's encoding may not
    with command_line.one_line_errors():
        out = output_folder(cfg)
        checked = check(cfg, out)
    print(tell(checked, out))
    raise SystemExit(int(any(problem.severity != "note" for problem in checked.problems)))


if __name__ == "__main__":
    command_line.prepare(CONF, "check")
    main()

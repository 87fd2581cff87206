"""python -m exolight.simulation out=FOLDER count=12 seed=7 [simulation=hard]: simulated pictures and their annotations as files."""

from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from exolight import command_line
from exolight.errors import InputError
from exolight.simulation.files import write_files
from exolight.simulation.source import check

CONF = Path(__file__).parents[2] / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="simulate")
def main(cfg: DictConfig) -> None:
    with command_line.one_line_errors():
        if cfg.out is None:
            raise InputError("out is missing: say where the pictures go with out=FOLDER")
        hw, pixel_size_nm = check(cfg.count, cfg.image_hw, cfg.pixel_size_nm, cfg.seed)
        vesicles = write_files(cfg.out, cfg.count, cfg.seed, hw, pixel_size_nm, instantiate(cfg.simulation, _convert_="all"))
        print(f"{cfg.count} pictures with {vesicles} vesicles are in {cfg.out}")


if __name__ == "__main__":
    command_line.prepare(CONF, "simulate")
    main()

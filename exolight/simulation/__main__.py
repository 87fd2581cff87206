"""python -m exolight.simulation out=FOLDER count=12 seed=7: simulated pictures and their annotations as files."""

from pathlib import Path

import hydra
from hydra.utils import instantiate
from omegaconf import DictConfig

from exolight import command_line
from exolight.simulation.files import write_files

CONF = Path(__file__).parents[2] / "conf"


@hydra.main(version_base="1.3", config_path=str(CONF), config_name="simulate")
def main(cfg: DictConfig) -> None:
    with command_line.one_line_errors():
        dataset = instantiate(cfg.data.source, count=cfg.count, seed=cfg.seed)()
        write_files(dataset, cfg.out)
        print(f"{len(dataset.images)} pictures with {sum(len(i.boxes) for i in dataset.images)} vesicles are in {cfg.out}")


if __name__ == "__main__":
    command_line.prepare(CONF, "simulate")
    main()

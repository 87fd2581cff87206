"""The LightningDataModule: a source of annotated pictures, a split, an augmentation, loaders."""

import logging
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import lightning
import numpy as np
from numpy.typing import NDArray
from torch.utils.data import DataLoader

from exolight.annotated_image import AnnotatedImage, AnnotationSet
from exolight.data.augmentation import Augmentation
from exolight.data.dataset import DetectionDataset, EpochSampler, ShardSampler
from exolight.data.duplicates import check_leaks
from exolight.data.sample import Batch, Sample, collate
from exolight.data.splits import Split, split_images, write_split
from exolight.errors import InputError

log = logging.getLogger(__name__)
PARTS = ("train", "val", "test")


class DetectionDataModule(lightning.LightningDataModule):
    """Annotated pictures, split and loaded.

    Args:
        source: reads or makes the annotations. Pictures that can be made afresh are so for training, in every epoch; evaluation always sees the ones listed.
        augmentation: of training pictures.
        root: the folder of the data; lists that ``split`` names are looked up here.
        split: "standard", "case_study", "folders", "all", fractions or lists; see ``split_images``.
        group: what belongs together and stays in one part, "folder" or a regular expression; see ``regroup``. None: what the annotation says.
        image_size: px, the side of the network's square input.
        batch_size: pictures a batch and process.
        num_workers: loader processes.
        target_nm_per_pixel: rescale pictures to this many nm per pixel; None: fit each into the input.
        tile: train on windows of this many px (which must be ``image_size``) out of pictures as large as they are, or as ``target_nm_per_pixel`` makes them,
            instead of fitting them into the input; evaluation sees whole fields, tile by tile.
        cache_gib: keep up to this much of the rescaled pictures of each part in memory; nothing is kept of pictures made afresh.
        cache_folder: where those that find no room in memory, and what tells pictures apart, are kept between runs; None: nothing is, and pictures without room
            are decoded again for every epoch.
        in_chans: channels of the network's input.
        epochs: of the whole training.
        seed: decides the split, the order and the augmentation.
        format: of the annotation, for a ``source`` that can read several and is to insist on one; None: it tells by itself.
    """

    def __init__(
        self,
        source: Callable[[], AnnotationSet],
        augmentation: Augmentation,
        root: str | Path | None = None,
        split: str | Mapping[str, Any] = "standard",
        group: str | int | None = None,
        image_size: int = 512,
        batch_size: int = 16,
        num_workers: int = 2,
        target_nm_per_pixel: float | None = None,
        tile: int | None = None,
        cache_gib: float = 2.0,
        cache_folder: str | Path | None = None,
        in_chans: int = 1,
        epochs: int = 1,
        seed: int = 0,
        format: str | None = None,
    ) -> None:
        super().__init__()
        if image_size < 32 or batch_size < 1 or num_workers < 0:
            raise InputError(f"data.image_size={image_size}, data.batch_size={batch_size}, data.num_workers={num_workers}: at least 32, 1 and 0 are needed")
        if tile not in (None, image_size):
            raise InputError(f"data.tile={tile}: the windows are the network's input: give data.image_size={tile} too, or data.tile=null")
        self.source = source if format is None else partial(source, format=format)  # type: ignore[call-arg]
        self.augmentation, self.root, self.split_choice = augmentation, root, split
        self.group = None if group is None else str(group)  # Hydra takes a name of digits for a number
        self.image_size, self.batch_size, self.num_workers = image_size, batch_size, num_workers
        self.target_nm_per_pixel, self.tile, self.cache_gib = target_nm_per_pixel, tile, cache_gib
        self.cache_folder = None if cache_folder is None else Path(cache_folder).expanduser()
        self.in_chans, self.epochs, self.seed = in_chans, epochs, seed
        self.class_names: list[str] = []
        self.split = Split([], [], [])
        self.datasets: dict[str, DetectionDataset] = {}
        self._first_epoch = 0

    def setup(self, stage: str | None = None) -> None:
        """Read the annotations, split them, read the pictures. Does its work once, however often it is called."""
        if self.datasets:
            return
        images, self.class_names = self.source()
        self.split = split_images(images, self.split_choice, self.seed, self.root, self.group)
        check_leaks(self.split, self.cache_folder)
        for part in PARTS:
            self.datasets[part] = self.dataset(getattr(self.split, part), self.augmentation if part == "train" else None)
            self.datasets[part].load_all()
        counts = ", ".join(f"{part} {len(d.images)} pictures with {sum(int((~i.ignore).sum()) for i in d.images)} objects" for part, d in self.datasets.items())
        log.info("data: %s; classes: %s", counts, ", ".join(self.class_names))
        sizes = self.datasets["train"].object_sizes()
        tiny = int((sizes.min(axis=1, initial=np.inf) < self.augmentation.min_side).sum())
        if tiny:
            log.warning("%d of %d training objects are narrower than %g px at this scale and are ignored", tiny, len(sizes), self.augmentation.min_side)

    def dataset(self, images: list[AnnotatedImage], augmentation: Augmentation | None) -> DetectionDataset:
        """Pictures as the network is to see them, with an augmentation for training and without for evaluation."""
        return DetectionDataset(
            images,
            self.image_size,
            augmentation,
            self.seed,
            self.epochs,
            target_nm_per_pixel=self.target_nm_per_pixel,
            tiled=self.tile is not None,
            cache_gib=self.cache_gib,
            cache_folder=self.cache_folder,
        )

    def object_sizes(self) -> NDArray[np.float64]:
        """(N, 2) width, height in px of the network's input of the training objects."""
        return self.datasets["train"].object_sizes()

    def write_split(self, folder: Path) -> None:
        """Leave the names of each part as lists that ``split`` takes."""
        write_split(self.split, folder)

    def _ranks(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer is not None else (0, 1)

    def train_dataloader(self) -> DataLoader[Sample]:
        dataset = self.datasets["train"]
        if not len(dataset):
            raise InputError("the training part has no pictures: choose another data.split or use fit=false")
        rank, ranks = self._ranks()
        sampler = EpochSampler(len(dataset), self.seed, rank, ranks)
        sampler.epoch = self._first_epoch
        # A last batch of one picture would give BatchNorm nothing to normalise by; where all pictures are fewer than a batch nothing may be dropped.
        last = len(sampler) % self.batch_size
        return self._loader(dataset, sampler, self.batch_size, drop_last=last == 1 and len(sampler) > self.batch_size)

    def val_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        return self._evaluation_loader("val")

    def test_dataloader(self) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        return self._evaluation_loader("test")

    def _evaluation_loader(self, part: str) -> DataLoader[Sample] | list[DataLoader[Sample]]:
        dataset = self.datasets[part]
        batch_size = self.batch_size if self.tile is None else 1  # whole fields may be large
        return self._loader(dataset, ShardSampler(len(dataset), *self._ranks()), batch_size) if len(dataset) else []

    def _loader(self, dataset: DetectionDataset, sampler: EpochSampler | ShardSampler, batch_size: int, drop_last: bool = False) -> DataLoader[Sample]:
        return DataLoader(
            dataset,
            batch_size=batch_size,
            sampler=sampler,
            num_workers=self.num_workers,
            collate_fn=partial(collate, in_chans=self.in_chans),
            drop_last=drop_last,
            persistent_workers=self.num_workers > 0,
            pin_memory=self.trainer is not None and self.trainer.strategy.root_device.type == "cuda",
        )

    def state_dict(self) -> dict[str, Any]:
        """The epoch that a run resumed from here begins with."""
        if self.trainer is None:
            return {"first_epoch": self._first_epoch}
        return {"first_epoch": self.trainer.fit_loop.epoch_progress.current.processed}  # type: ignore[attr-defined]  # Lightning annotates the base class

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self._first_epoch = int(state_dict["first_epoch"])


__all__ = ["Batch", "DetectionDataModule"]

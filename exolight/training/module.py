"""The LightningModule: a detector, its loss, its optimiser, and how it is scored while it learns. It receives built parts and builds none."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any, Literal

import lightning
import numpy as np
import torch
from torch import Tensor
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from exolight.checkpoint import KEY
from exolight.data.sample import Batch
from exolight.errors import InputError
from exolight.evaluation.average_precision import average_precision
from exolight.evaluation.curves import score_at
from exolight.evaluation.operating_point import Search
from exolight.evaluation.records import ImageResult, gather
from exolight.inference.predictor import Predictor
from exolight.inference.runtimes import Remembering
from exolight.losses.criterion import Criterion
from exolight.models.detector import Detector
from exolight.models.suppression import suppress
from exolight.preprocessing import Placement
from exolight.thresholds import Thresholds
from exolight.training.optimisation import parameter_groups


class DetectionModule(lightning.LightningModule):
    """Trains and scores a detector.

    Args:
        detector: the network.
        loss: gives raw named terms; one for another kind of head is an error in training, and left out where a detector is only scored.
        optimizer: called with parameter groups; its ``lr`` and ``weight_decay`` are those of its partial.
        scheduler: called with the optimiser and the training's length.
        thresholds: for evaluation: a low score, so that the whole precision-recall curve is seen.
        image_size: px, the side of the input.
        gains: weights of the loss's terms, which it scales to this detector.
        nominal_batch: gradients are accumulated to about this many pictures a step, over all devices.
        backbone_lr_scale: the backbone's learning rate as a share of the others'.
        score: of the operating point to begin with; validation moves it to where ``search`` wants it.
        tile: whether pictures are scored tile by tile at their own scale, as prediction looks at large fields; ``image_size`` is the tiles' side.
        info: plain facts for the checkpoint: what the detector was trained on.
        search: what is asked of the operating point; None: the best F1.

    Attributes:
        operating_point: thresholds to detect with, stored in checkpoints.
        also: overlaps of suppression that evaluation tries beside that of ``thresholds``.
        tried: the last evaluation's results by the overlap of their suppression; that of ``thresholds`` decides the scores that are logged.
        precision: the last evaluation's average precision and recall, undefined ones (nan) included.
    """

    def __init__(
        self,
        detector: Detector,
        loss: Criterion,
        optimizer: Callable[..., Optimizer],
        scheduler: Callable[..., LRScheduler],
        thresholds: Thresholds,
        image_size: int,
        gains: Mapping[str, float],
        nominal_batch: int = 64,
        backbone_lr_scale: float = 1.0,
        score: float = 0.25,
        tile: int | None = None,
        info: Mapping[str, Any] | None = None,
        search: Search | None = None,
    ) -> None:
        super().__init__()
        coarsest = max(detector.strides)
        if image_size % coarsest:
            nearest = round(image_size / coarsest) * coarsest or coarsest
            raise InputError(f"data.image_size={image_size} is no multiple of the coarsest stride {coarsest}: use {nearest}")
        self.detector, self.loss = detector, loss
        self.make_optimizer, self.make_scheduler = optimizer, scheduler
        self.thresholds, self.image_size, self.nominal_batch, self.backbone_lr_scale = thresholds, image_size, nominal_batch, backbone_lr_scale
        self.gains = loss.scaled(gains, len(detector.strides), detector.num_classes, image_size)
        self.operating_point = replace(thresholds, score=score)
        self.search = search or Search()
        self.tile = tile
        self.info = dict(info or {})
        self.also: Sequence[float] = ()
        self.tried: dict[float, list[ImageResult]] = {}
        self.precision: dict[str, float] = {}
        self.val_terms: list[dict[str, Tensor]] = []
        self._predictor: Predictor | None = None

    @property
    def results(self) -> list[ImageResult]:
        """Those of the last evaluation at ``thresholds``."""
        return self.tried[self.thresholds.iou]

    # Training -----------------------------------------------------------------------------------------------------------------------------------------------

    def setup(self, stage: str) -> None:
        if stage == "fit":
            if self.loss.head != self.detector.head_kind:
                raise InputError(f"this loss is for head={self.loss.head}, the detector has {self.detector.head_kind}: choose both with head=")
            trainer = self.trainer
            batch = getattr(trainer, "datamodule").batch_size * trainer.world_size  # noqa: B009  (Lightning attaches it)
            trainer.accumulate_grad_batches = max(1, round(self.nominal_batch / batch))

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        terms = self.loss(self.detector(batch.images), batch.targets, batch.ignored, self.detector.anchors, self.detector.strides)
        total = torch.stack([gain * terms[name] for name, gain in self.gains.items()]).sum()
        logged = {f"train/{name}": terms[name].detach() for name in self.gains}
        self.log_dict(logged, on_step=False, on_epoch=True, sync_dist=True, batch_size=len(batch.images))
        # YOLOv5 sums gradients over the pictures of a step; Lightning divides by the accumulated batches and DDP by the ranks, which is undone here.
        return total * len(batch.images) * self.trainer.accumulate_grad_batches * self.trainer.world_size

    def configure_optimizers(self) -> Any:
        keywords = getattr(self.make_optimizer, "keywords", {})
        groups = parameter_groups(self.detector, keywords["lr"], keywords.get("weight_decay", 0.0), self.backbone_lr_scale)
        optimizer = self.make_optimizer(groups)
        steps = int(self.trainer.estimated_stepping_batches)
        schedule = self.make_scheduler(
            optimizer,
            total_steps=steps,
            steps_per_epoch=steps / max(1, self.trainer.max_epochs or 1),
            batches_per_step=self.trainer.accumulate_grad_batches,
        )
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule, "interval": "step"}}

    def on_train_epoch_start(self) -> None:
        self.log("lr", float(self.trainer.optimizers[0].param_groups[0]["lr"]))

    # Scoring ------------------------------------------------------------------------------------------------------------------------------------------------

    def on_validation_epoch_start(self) -> None:
        self._begin()

    def on_test_epoch_start(self) -> None:
        self._begin()

    def _begin(self) -> None:
        self.tried = {iou: [] for iou in (self.thresholds.iou, *self.also)}
        self.val_terms, self._predictor = [], None

    def validation_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, with_loss=True)

    def test_step(self, batch: Batch, batch_idx: int) -> None:
        self._evaluate(batch, with_loss=False)

    def _evaluate(self, batch: Batch, with_loss: bool) -> None:
        """Add a batch to ``tried``. Each overlap starts from all candidates, as prediction does: from what a looser one leaves it would keep others."""
        if self.tile is not None:  # without the loss, which over a whole field would need the memory that tiles save
            for iou, found in self._found_in_tiles(batch).items():
                self.tried[iou].extend(self._score(found, batch))
            return
        raw = self.detector(batch.images)
        if with_loss and self.loss.head == self.detector.head_kind:  # a checkpoint that is only scored may have another head than the configuration
            self.val_terms.append(self.loss(raw, batch.targets, batch.ignored, self.detector.anchors, self.detector.strides))
        candidates = self.detector.decode(raw)
        for iou, results in self.tried.items():
            results.extend(self._score(suppress(*candidates, replace(self.thresholds, iou=iou)), batch))

    def _found_in_tiles(self, batch: Batch) -> dict[float, list[tuple[Tensor, Tensor, Tensor]]]:
        """What prediction finds tile by tile, for each overlap of suppression: of each picture boxes (N, 4) in px of its field, scores (N,), labels (N,)."""
        if self._predictor is None:  # not before the weights of this evaluation are in place, the averaged ones in training
            lowest, sizes = self.thresholds.score, self.info.get("object_size_px")
            sure = replace(self.thresholds, score=max(lowest, Thresholds().score))  # by these tiles are joined: an untrained one is sure of nothing
            self._predictor = Predictor(
                self.detector, sure, self.image_size, str(self.device), object_size_px=sizes, tile=self.image_size, floor=lowest, as_recorded=True, threads=1
            )
        predictor, network = self._predictor, self._predictor.network
        fields = batch.images[:, 0].cpu().numpy()
        found: dict[float, list[tuple[Tensor, Tensor, Tensor]]] = {iou: [] for iou in self.tried}
        for field, (scale_x, scale_y, x, y), (height, width) in zip(fields, batch.placements.tolist(), batch.image_hw.tolist(), strict=True):
            left, top = round(x), round(y)
            picture = field[top : top + round(height * scale_y), left : left + round(width * scale_x)]
            predictor.network = Remembering(network)  # the overlaps have the network's answers in common
            for iou, results in found.items():
                predictor.thresholds = replace(predictor.thresholds, iou=iou)
                detections = predictor.detect([picture])[0].detections
                boxes = torch.from_numpy(detections.boxes + np.array([left, top, left, top], np.float32))
                results.append((boxes, torch.from_numpy(detections.scores), torch.from_numpy(detections.labels)))
        predictor.network = network
        return found

    def _score(self, found: Sequence[tuple[Tensor, Tensor, Tensor]], batch: Batch) -> Iterable[ImageResult]:
        """The pictures of a batch with what was found in their fields, all boxes in pixels of the picture as recorded."""
        height, width = batch.images.shape[2:]
        scale = np.array([width, height, width, height], dtype=np.float64)
        objects = [(rows.cpu().numpy().astype(np.float64), ignore) for rows, ignore in ((batch.targets, False), (batch.ignored, True))]
        for i, (boxes, scores, labels) in enumerate(found):
            placement = Placement(*batch.placements[i].tolist())
            hw = batch.image_hw[i].tolist()
            rows = np.concatenate([part[part[:, 0] == i] for part, _ in objects])
            ignore = np.concatenate([np.full(int((part[:, 0] == i).sum()), flag) for part, flag in objects])
            centre, half = rows[:, 2:4] * scale[:2], rows[:, 4:6] * scale[2:] / 2
            yield ImageResult(
                image_id=int(batch.indices[i]),
                name=str(int(batch.indices[i])),
                boxes=placement.to_image(boxes.float().cpu().numpy()).clip(0, [hw[1], hw[0], hw[1], hw[0]]).astype(np.float32),
                scores=scores.float().cpu().numpy(),
                labels=labels.cpu().numpy(),
                truth_boxes=placement.to_image(np.concatenate((centre - half, centre + half), axis=1)),
                truth_labels=rows[:, 1].astype(np.int64),
                truth_ignore=ignore,
            )

    def _end(self) -> None:
        """All ranks' results together, and their average precision."""
        self.tried = {iou: gather(results) for iou, results in self.tried.items()}
        self.precision = average_precision(self.results, self.detector.class_names)

    def on_validation_epoch_end(self) -> None:
        self._end()
        point = self.search.best(self.results, self.detector.num_classes)
        threshold = max(point.threshold, self.thresholds.score)  # below it nothing has been looked at
        if not self.trainer.sanity_checking and point.f1 > 0:
            self.operating_point = replace(self.thresholds, score=threshold)
        self._log_scores("val", self.precision | {"precision": point.precision, "recall": point.recall, "f1": point.f1, "threshold": threshold})
        if self.val_terms:
            losses = {f"val/{name}": torch.stack([terms[name] for terms in self.val_terms]).mean() for name in self.gains}
            self.log_dict(losses, sync_dist=True)  # ranks have equal numbers of batches

    def on_test_epoch_end(self) -> None:
        self._end()
        self._log_scores("test", self.precision | score_at(self.results, self.operating_point.score) | {"threshold": self.operating_point.score})

    def _log_scores(self, part: Literal["val", "test"], scores: Mapping[str, float]) -> None:
        # Every rank holds the same numbers and logs them: a checkpoint's monitor must exist everywhere. Undefined scores (no large objects, say) are left out.
        self.log_dict({f"{part}/{name}": value for name, value in scores.items() if np.isfinite(value)}, prog_bar=False)
        if part == "val" and np.isfinite(scores["map_50"]):
            self.log("mAP50", scores["map_50"], prog_bar=True, logger=False)

    # Checkpoints --------------------------------------------------------------------------------------------------------------------------------------------

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Make the checkpoint self-contained: all that prediction needs, as plain values."""
        checkpoint[KEY] = {
            **self.info,
            "detector": self.detector.config(),
            "image_size": self.image_size,
            "thresholds": asdict(self.operating_point),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        self.operating_point = Thresholds(**checkpoint[KEY]["thresholds"])

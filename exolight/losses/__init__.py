"""Assignment of objects to predictions, and the losses over them. Pure, without Lightning and Hydra."""

from exolight.losses.criterion import Criterion
from exolight.losses.detection import DetectionLoss
from exolight.losses.task_aligned import TaskAlignedLoss

__all__ = ["Criterion", "DetectionLoss", "TaskAlignedLoss"]

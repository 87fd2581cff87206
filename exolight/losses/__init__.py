"""Assignment of objects to predictions, and the loss over them. Pure, without Lightning and Hydra."""

from exolight.losses.detection import DetectionLoss

__all__ = ["DetectionLoss"]

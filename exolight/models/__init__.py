"""Networks: plain ``nn.Module``s and pure functions, without Lightning and Hydra."""

from exolight.models.detector import Detector

__all__ = ["Detector"]

"""exolight: finds, counts and sizes exosomes in transmission electron micrographs."""

import os

# albumentations asks the package index for its newest version when imported, which stalls where there is no network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

# OpenMP's threads spin while they wait for each other. Where another process (a loader worker, a browser) has one of few cores, that spinning keeps the awaited
# thread from running: beside one busy process on two cores a training step took 1.4 times as long. It must be said before torch is loaded.
os.environ.setdefault("GOMP_SPINCOUNT", "1000")

__version__ = "0.1.0"

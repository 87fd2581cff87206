"""exolight: finds, counts and sizes exosomes in transmission electron micrographs."""

import os

# albumentations asks the package index for its newest version when imported, which stalls where there is no network.
os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")

__version__ = "0.1.0"

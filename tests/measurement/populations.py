"""Populations made by hand, for the tests of their statistics."""

import numpy as np

from exolight.measurement.population import Population, border_weights


def population(donors: list[list[list[float]]], samples: list[str] | None = None) -> Population:
    """Donor -> picture -> diameters, nm; pictures of 1 µm²; ``samples`` names those of the pictures."""
    pictures = [(str(donor), sizes) for donor, of_donor in enumerate(donors) for sizes in of_donor]
    diameters = np.array([size for _, sizes in pictures for size in sizes], float)
    counts = np.array([len(sizes) for _, sizes in pictures])
    blank = np.array([""] * len(pictures))
    return Population(
        "nm",
        pictures=np.arange(len(pictures)).astype(str),
        samples=np.array(samples) if samples else blank,
        donors=np.array([donor for donor, _ in pictures]),
        conditions=blank,
        counts=counts,
        cut=np.zeros_like(counts),
        areas_um2=np.ones(len(pictures)),
        picture=np.repeat(np.arange(len(pictures)), counts),
        diameters=diameters,
        weights=border_weights(diameters, 1000, 1000),
    )


def nested(
    rng: np.random.Generator,
    donors: int,
    samples: int = 2,
    pictures: int = 4,
    vesicles: float = 20.0,
    donor_sd: float = 0.15,
    sample_sd: float = 0.05,
    picture_sd: float = 0.05,
) -> Population:
    """Vesicles of median 80 nm and SD of ln 0.35 in pictures of 1.5 x 1.5 µm of samples of donors: each level scatters by an SD of ln of its own.

    ``vesicles`` is the mean of a picture; pictures differ by a factor of variance 0.5 where there are several, donors by one of variance 0.15. The border cuts
    some by chance, and those are counted, not sized.
    """
    rows = []
    for donor in range(donors):
        of_donor, rate = rng.normal(np.log(80), donor_sd), rng.gamma(1 / 0.15, 0.15) if donors > 1 else 1.0
        for sample in range(samples):
            of_sample = rng.normal(of_donor, sample_sd)
            for _ in range(pictures):
                sizes = np.exp(rng.normal(rng.normal(of_sample, picture_sd), 0.35, rng.poisson(vesicles * rate * (rng.gamma(2, 0.5) if pictures > 1 else 1.0))))
                whole = rng.random(len(sizes)) < 1 / border_weights(sizes, 1500, 1500)
                rows.append((str(donor), str(sample), len(sizes), sizes[whole]))
    counts, sized = np.array([count for *_, count, _ in rows]), np.array([len(sizes) for *_, sizes in rows])
    diameters = np.concatenate([sizes for *_, sizes in rows])
    return Population(
        "nm",
        pictures=np.arange(len(rows)).astype(str),
        samples=np.array([sample for _, sample, *_ in rows]),
        donors=np.array([donor for donor, *_ in rows]),
        conditions=np.array([""] * len(rows)),
        counts=counts,
        cut=counts - sized,
        areas_um2=np.full(len(rows), 2.25),
        picture=np.repeat(np.arange(len(rows)), sized),
        diameters=diameters,
        weights=border_weights(diameters, 1500, 1500),
    )

"""The negative-stain TEM simulator: annotated pictures where there are none. ``pool.simulate`` is the data set, ``picture.render`` one picture."""

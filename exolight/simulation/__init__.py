"""The negative-stain TEM simulator: annotated pictures where there are none.

``ranges`` what is drawn from -> ``scene`` a specimen in nm -> ``formation`` from specimen to file -> ``picture`` pixels and truth -> ``source`` a data set
for training, ``files`` one on the disk.
"""

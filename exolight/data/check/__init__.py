"""A data set looked at before training: what is wrong with it, what there is, and what the network would see of it."""

"""Two-dimensional slices through a study's best configuration, run as studies of their own.

`lattice`: the points; `request`: what the command line gives; `plan`: the study that runs them.
"""

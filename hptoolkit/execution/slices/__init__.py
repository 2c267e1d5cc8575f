"""Two-dimensional slices through a study's best configuration, run as studies of their own.

`lattice`: the points; `options`: what the command line asks; `study`: running them.
"""

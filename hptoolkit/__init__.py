"""hptoolkit: tune neural networks on Optuna in the invariant coordinates of SGD."""

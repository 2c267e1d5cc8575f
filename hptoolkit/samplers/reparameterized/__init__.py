"""Any of Optuna's samplers, in coordinates."""

from hptoolkit.samplers.reparameterized.sampler import Reparameterized

__all__ = ["Reparameterized"]

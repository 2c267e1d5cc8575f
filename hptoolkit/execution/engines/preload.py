"""Imported once, by the process from which the workers of a machine are forked: see `processes`.

What a training imports only when it first needs it is imported here as well.
"""

import sklearn.datasets
import torch._dynamo

import hptoolkit.execution.builtin_study
import hptoolkit.execution.job
import hptoolkit.samplers

__all__ = ["hptoolkit", "sklearn", "torch"]

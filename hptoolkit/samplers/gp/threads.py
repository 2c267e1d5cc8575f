"""One thread for small matrices: several only wait for each other."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def one_thread() -> Iterator[None]:
    """Let PyTorch, and the BLAS of NumPy and SciPy, use one thread meanwhile.

    Both matter: on two busy cores an ask after 12 trials took 8.1 s, with PyTorch held to one
    thread 1.2 s, with L-BFGS's BLAS as well 0.3 s.
    """
    import scipy.linalg  # noqa: F401  (its BLAS is limited only once it is loaded)
    import torch
    from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1, user_api="blas"):
            yield
    finally:
        torch.set_num_threads(before)

"""The loss of somebody's own model on a batch, whatever form the two have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from hptoolkit.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn

    Loss = Callable[[nn.Module, Any], Tensor]


def batch_loss(loss: Callable[..., Tensor] | None) -> Loss:
    """The scalar loss as a function of a model and a batch.

    Args:
        loss: A criterion of torch, such as `nn.CrossEntropyLoss()` or `F.l1_loss`, for batches
            (inputs, targets); or a function of the model and a batch. None: what the model returns
            as its `loss` for a dict of its arguments, as Hugging Face's do; for a pair the cross
            entropy if the targets are integers (classes stand on the outputs' second axis, or on
            the last where the others are the targets'), the mean squared error if not.
    """
    if loss is None:
        return _default
    if _is_criterion(loss):
        criterion = loss
        return lambda model, batch: criterion(model(_pair(batch)[0]), _pair(batch)[1])
    return loss


def _is_criterion(loss: Callable[..., Tensor]) -> bool:
    """Whether it is torch's, which takes outputs and targets."""
    home = getattr(loss, "__module__", None) or type(loss).__module__
    return home.split(".")[0] == "torch"


def _default(model: nn.Module, batch: Any) -> Tensor:
    from torch.nn import functional as F

    if isinstance(batch, Mapping):
        returned = model(**batch)
        own = returned.get("loss") if isinstance(returned, Mapping) else None
        own = getattr(returned, "loss", None) if own is None else own
        if own is None:
            raise UserError(
                f"The model returns no loss for a batch of {', '.join(map(str, batch))}: put its "
                "labels into the batch, or give loss, a function of the model and a batch."
            )
        found: Tensor = own
        return found
    inputs, targets = _pair(batch)
    outputs = model(inputs)
    if targets.is_floating_point():
        return F.mse_loss(outputs, targets)
    if outputs.ndim > 2 and outputs.shape[:-1] == targets.shape:
        return F.cross_entropy(outputs.flatten(0, -2), targets.flatten())
    return F.cross_entropy(outputs, targets)


def _pair(batch: Any) -> tuple[Any, Any]:
    if isinstance(batch, tuple | list) and len(batch) == 2:
        return batch[0], batch[1]
    raise UserError(
        f"The batch is a {type(batch).__name__}: a pair (inputs, targets) is needed, a dict of "
        "arguments of a model that returns its loss, or loss, a function of the model and a batch."
    )

"""The mechanics of a run: network, optimizer and images on one device; a step, an epoch, a look."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from hptoolkit.training import augment, optimizers, schedules
from hptoolkit.training.config import TrainingConfig
from hptoolkit.training.data import Split
from hptoolkit.training.device import autocast, compiled, evaluation_batch
from hptoolkit.training.ema import Average
from hptoolkit.training.seeds import Seeds


class Trainer:
    """Trains `network` in place. Nothing but `evaluate` and `norms` waits for the device."""

    def __init__(
        self,
        config: TrainingConfig,
        data: Split,
        network: nn.Module,
        seeds: Seeds,
        device: torch.device,
        compile_network: bool = False,
    ) -> None:
        self.config, self.device, self.classes = config, device, data.classes
        self.images = augment.to_device(data.train, device)
        self.validation = augment.to_device(data.validation, device)
        self.norm = augment.normalization(self.images)
        self.augmentation = augment.augmentation(config, self.images)
        # torch's L-BFGS flattens gradients as views, which channels_last filters do not allow.
        if config.optimizer != "lbfgs":
            network = network.to(memory_format=torch.channels_last)
        self.network = network.to(device).train()
        self.forward = compiled(network, device) if compile_network else network
        self.average = Average(network, config.ema) if config.ema else None
        self.optimizer = optimizers.build(config, network)
        self.schedule = schedules.build(config)
        self.momentum = schedules.build_momentum(config)
        self.order_generator = torch.Generator(device).manual_seed(seeds.order)
        self.augment_generator = torch.Generator(device).manual_seed(seeds.augment)
        self.steps_per_epoch = len(self.images) // config.batch_size

    def epoch(self, epoch: int) -> Tensor:
        """Epoch number `epoch` (from 0) of the run; the mean loss, float (), on the device."""
        steps = self.steps_per_epoch
        total = torch.zeros((), device=self.device)
        for step, chosen in enumerate(self.batches()):
            # The middle of the step: none is taken at a rate of exactly 0.
            self.set_progress((epoch * steps + step + 0.5) / (self.config.epochs * steps))
            total += self.step(chosen)
        return total / steps

    def batches(self) -> list[Tensor]:
        """The images in random order, int64 (batch_size,) a batch; a last short one is dropped."""
        order = torch.randperm(len(self.images), generator=self.order_generator, device=self.device)
        batches = torch.split(self.images.rows[order], self.config.batch_size)
        return list(batches[: self.steps_per_epoch])

    def set_progress(self, progress: float) -> None:
        """Learning rate and momentum for `progress` in [0, 1] of the run."""
        self.set_factor(self.schedule(progress))
        momentum = self.momentum(progress)
        for group in self.optimizer.param_groups:
            optimizers.set_momentum(group, momentum)

    def set_factor(self, factor: float) -> None:
        """Every learning rate to `factor` times its peak."""
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak_lr"] * factor

    def step(self, chosen: Tensor) -> Tensor:
        """One step on the images `chosen`; the mean loss before it, float (), on the device."""
        labels = self.images.labels[chosen]
        batch = augment.augmented_batch(
            self.images, self.norm, chosen, self.augmentation, self.augment_generator
        )

        if isinstance(self.optimizer, torch.optim.LBFGS):
            loss: Tensor = self.optimizer.step(  # type: ignore[no-untyped-call]
                lambda: self._gradient(batch, labels)
            )
        else:
            loss = self._gradient(batch, labels)
            self.optimizer.step()
        if self.average:
            self.average.update()
        return loss

    def _gradient(self, batch: Tensor, labels: Tensor) -> Tensor:
        """Leave the gradient of the mean loss in the parameters; the loss, detached."""
        self.optimizer.zero_grad(set_to_none=True)
        with autocast(self.device, self.config.precision):
            logits = self.forward(batch)
        loss = F.cross_entropy(logits.float(), labels, label_smoothing=self.config.label_smoothing)
        torch.autograd.backward(loss)
        return loss.detach()

    @torch.no_grad()
    def evaluate(self) -> tuple[float, float]:
        """Mean loss and accuracy on the validation images, by the averaged weights if there are."""
        network = self.average.network if self.average else self.network
        network.eval()
        loss = torch.zeros((), device=self.device)
        correct = torch.zeros((), device=self.device)
        for chosen in torch.split(self.validation.rows, evaluation_batch(self.device)):
            batch = augment.plain_batch(self.validation, self.norm, chosen)
            labels = self.validation.labels[chosen]
            with autocast(self.device, self.config.precision):
                logits = network(batch).float()
                if self.config.flip_tta:
                    logits = (logits + network(batch.flip(-1)).float()) / 2
            loss += F.cross_entropy(logits, labels, reduction="sum")
            correct += (logits.argmax(1) == labels).sum()
        self.network.train()
        n = len(self.validation)
        return loss.item() / n, correct.item() / n

    def validation_labels(self) -> Tensor:
        """The classes of the validation images, int64 (n,), on the CPU."""
        return self.validation.labels[self.validation.rows].cpu()

    def norms(self) -> tuple[float, float]:
        """The norms of the last step's gradient and of all parameters."""
        parameters = list(self.network.parameters())
        return _norm([p.grad for p in parameters if p.grad is not None]), _norm(parameters)

    def state(self) -> dict[str, Tensor]:
        """The weights that `evaluate` judges, copied to the CPU."""
        network = self.average.network if self.average else self.network
        weights = network.state_dict().items()
        return {name: tensor.detach().to("cpu", copy=True) for name, tensor in weights}

    def snapshot(self) -> dict[str, Any]:
        """All that changes in a run, by reference: `restore` makes the same steps follow."""
        return {
            "network": self.network.state_dict(),
            "average": self.average.network.state_dict() if self.average else None,
            "optimizer": self.optimizer.state_dict(),
            "order": self.order_generator.get_state(),
            "augment": self.augment_generator.get_state(),
            "torch": torch.get_rng_state(),
            "cuda": torch.cuda.get_rng_state(self.device) if self.device.type == "cuda" else None,
        }

    def restore(self, snapshot: dict[str, Any]) -> None:
        """Go back to a snapshot of the same run. Sets torch's global generator (dropout's)."""
        self.network.load_state_dict(snapshot["network"])
        if self.average:
            self.average.network.load_state_dict(snapshot["average"])
        self.optimizer.load_state_dict(snapshot["optimizer"])
        self.order_generator.set_state(snapshot["order"])
        self.augment_generator.set_state(snapshot["augment"])
        torch.set_rng_state(snapshot["torch"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state(snapshot["cuda"], self.device)


@torch.no_grad()
def _norm(tensors: list[Tensor] | list[nn.Parameter]) -> float:
    return float(torch.linalg.vector_norm(torch.stack([tensor.norm() for tensor in tensors])))

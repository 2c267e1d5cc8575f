"""Hugging Face's Trainer: `hyperparameter_search` with one of hptoolkit's samplers.

    pip install transformers accelerate
    python examples/huggingface_trainer.py

A small BERT, initialised at random, learns which half of the digits a sequence has more of.
"""

import tempfile

import optuna
import torch
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.trainer_utils import BestRun

import hptoolkit as hpt

TRIALS, EPOCHS = 10, 4

torch.manual_seed(0)
tokens = torch.randint(10, (1280, 15))
labels = (tokens >= 5).float().mean(dim=1).round().long()
rows = [{"input_ids": row, "labels": label} for row, label in zip(tokens, labels, strict=True)]
config = BertConfig(
    vocab_size=10, hidden_size=32, num_hidden_layers=1, num_attention_heads=4,
    intermediate_size=64, max_position_embeddings=15,
)  # fmt: skip


def model(trial: optuna.Trial | None = None) -> BertForSequenceClassification:
    return BertForSequenceClassification(config)


def space(trial: optuna.Trial) -> dict[str, float]:
    return {
        "learning_rate": trial.suggest_float("learning_rate", 1e-6, 1.0, log=True),
        "weight_decay": trial.suggest_float("weight_decay", 1e-4, 1.0, log=True),
        "adam_beta1": trial.suggest_float("adam_beta1", 0.5, 0.99),
    }


def main() -> BestRun:
    # A transformer's weights stand beside a residual stream: no tensor is scale-invariant alone.
    coordinates = hpt.Coordinates.for_optimizer(
        "adamw", normalized=False, lr="learning_rate", momentum="adam_beta1"
    )
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            folder, num_train_epochs=EPOCHS, per_device_train_batch_size=64, use_cpu=True,
            eval_strategy="epoch", save_strategy="no", report_to="none", disable_tqdm=True,
        )  # fmt: skip
        trainer = Trainer(
            args=arguments, model_init=model, train_dataset=rows[:1024], eval_dataset=rows[1024:]
        )
        best = trainer.hyperparameter_search(
            space, n_trials=TRIALS, backend="optuna", sampler=hpt.GPSampler(coordinates, seed=0)
        )
    print(f"Best: loss {best.objective:.3f} at {best.hyperparameters}")
    return best


if __name__ == "__main__":
    main()

"""scikit-learn's MLPClassifier by SGD: coordinate descent, as one can follow it by eye.

python examples/sklearn_mlp.py
"""

import warnings

import optuna
from sklearn.datasets import load_digits
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier

import hptoolkit as hpt

TRIALS, EPOCHS = None, 20  # coordinate descent ends by itself

images, labels = load_digits(return_X_y=True)
train_x, valid_x, train_y, valid_y = train_test_split(images / 16.0, labels, random_state=0)


def objective(trial: optuna.Trial) -> float:
    """The validation loss."""
    model = MLPClassifier(
        (64,),
        solver="sgd",
        learning_rate_init=trial.suggest_float("learning_rate_init", 1e-5, 10.0, log=True),
        momentum=trial.suggest_float("momentum", 0.0, 0.99),
        alpha=trial.suggest_float("alpha", 1e-6, 10.0, log=True),
        batch_size=64,
        max_iter=EPOCHS,
        random_state=0,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # EPOCHS is the budget
        try:
            model.fit(train_x, train_y)
        except ValueError as error:  # its weights are no longer finite
            raise optuna.TrialPruned("diverged") from error
    return float(log_loss(valid_y, model.predict_proba(valid_x)))


def main() -> optuna.Study:
    # It has no normalisation, so weight decay does not multiply the rate: λ/(1−ρ), 1−ρ and α.
    coordinates = hpt.Coordinates.for_optimizer(
        "sgd", normalized=False, lr="learning_rate_init", weight_decay="alpha"
    )
    start = {"learning_rate_init": 0.001, "momentum": 0.9, "alpha": 1e-4}  # its defaults
    sampler = hpt.CoordinateDescentSampler(coordinates, start=start)
    study = optuna.create_study(sampler=sampler)
    hpt.optimize(study, objective, trials=TRIALS)
    print(f"Best of {len(study.trials)}: loss {study.best_value:.3f} at {study.best_params}")
    return study


if __name__ == "__main__":
    main()

"""`python -m hptoolkit.study`: tune a study's hyperparameters, and continue where it stopped."""

from __future__ import annotations


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.cli.app import run

    run("study")


if __name__ == "__main__":
    main()

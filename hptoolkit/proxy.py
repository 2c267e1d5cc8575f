"""`python -m hptoolkit.proxy`: Optuna's storage proxy, for many workers on one database."""

from __future__ import annotations


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.cli.app import run

    run("proxy")


if __name__ == "__main__":
    main()

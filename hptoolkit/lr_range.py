"""`python -m hptoolkit.lr_range`: one short run that tells where the learning rate belongs."""

from __future__ import annotations


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.cli.app import run

    run("lr_range")


if __name__ == "__main__":
    main()

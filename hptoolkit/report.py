"""`python -m hptoolkit.report`: a study's figures on one page; `--slice` runs one first."""

from __future__ import annotations


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.cli.app import run

    run("report")


if __name__ == "__main__":
    main()

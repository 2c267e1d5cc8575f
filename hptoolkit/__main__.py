"""`python -m hptoolkit` lists the commands."""

from __future__ import annotations


def main() -> None:
    """Print the commands, a line each."""
    from hptoolkit.cli.app import overview

    overview()


if __name__ == "__main__":
    main()

"""What every command shares: bad input ends in one sentence and exit code 2, no traceback."""

from __future__ import annotations

import sys

import typer

from hptoolkit.errors import UserError


def run_app(app: typer.Typer) -> None:
    """Run a command line."""
    try:
        app()
    except UserError as error:
        print(f"Error: {error}", file=sys.stderr)
        sys.exit(2)

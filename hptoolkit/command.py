"""What every command shares: bad input ends in one sentence and exit code 2, no traceback."""

from __future__ import annotations

import sys

import typer

from hptoolkit.errors import UserError


def run_app(app: typer.Typer) -> None:
    """Run a command line and exit with its code."""
    try:
        code = app(standalone_mode=False)
    except (KeyboardInterrupt, typer.Abort):
        sys.exit(130)
    except Exception as error:
        # Typer's own complaints about options have moved between modules from version to version.
        complaint = getattr(error, "format_message", None)
        if not isinstance(error, UserError) and complaint is None:
            raise
        message = complaint() if complaint else str(error)
        print(f"Error: {message}", file=sys.stderr)
        sys.exit(2)
    sys.exit(code or 0)

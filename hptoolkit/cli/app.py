"""One command line: its commands, each also `python -m hptoolkit.NAME`.

Bad input ends in one sentence and exit code 2, no traceback.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import typer

from hptoolkit.cli.lr_range import lr_range
from hptoolkit.cli.proxy import proxy
from hptoolkit.cli.report import report
from hptoolkit.cli.study import study
from hptoolkit.errors import UserError
from hptoolkit.errors import command as typed

COMMANDS: dict[str, tuple[Callable[..., None], str]] = {
    "study": (study, "search good hyperparameters, from where theory says they are"),
    "lr_range": (lr_range, "find the bounds of the learning rate in a few short runs"),
    "report": (report, "draw what a study found on one page, and run slices of it"),
    "proxy": (proxy, "serve a database to many workers by one connection"),
}


app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
for _name, (_function, _purpose) in COMMANDS.items():
    app.command(_name, short_help=_purpose)(_function)


def run(name: str | None = None) -> None:
    """Run a command on this process's arguments (None: the one they begin with), and exit."""
    command: Any = typer.main.get_command(app)
    if name is not None:
        command = command.commands[name]
    try:
        code = command.main(standalone_mode=False)
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


def overview() -> None:
    """Print the commands, a line each."""
    print("hptoolkit: tune neural networks in the invariant coordinates of SGD.\n")
    for name, (_, purpose) in COMMANDS.items():
        print(f"  python -m hptoolkit.{name:<10} {purpose}")
    print(f"\nEach has --help. The first to try: {typed('study')}")

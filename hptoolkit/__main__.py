"""`python -m hptoolkit` lists the commands; with arguments it runs the one that they begin with."""

from __future__ import annotations

import sys


def main() -> None:
    """List the commands, or run one."""
    from hptoolkit.cli import app

    if len(sys.argv) > 1:
        app.run()
    app.overview()


if __name__ == "__main__":
    main()

"""A study's report: `python -m hptoolkit.report NAME` at a terminal, `hpt.report(study)` in code.

report = hpt.report(study)     # shows itself in a notebook; print(report) tells what was found
report.save("report.html")

The name is both a module, the command's, and a function: the module can be called.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from optuna.study import Study

    from hptoolkit.reporting.study_report import Report


def main() -> None:
    """The command, with errors of input as one sentence and exit code 2."""
    from hptoolkit.cli.app import run

    run("report")


class _Callable(ModuleType):
    """This module, as the function of its name."""

    def __call__(self, study: Study, slices: Sequence[Study] = ()) -> Report:
        """See `hptoolkit.reporting.study_report.report`."""
        from hptoolkit.reporting.study_report import report

        return report(study, slices)


if __name__ == "__main__":
    main()
else:
    sys.modules[__name__].__class__ = _Callable

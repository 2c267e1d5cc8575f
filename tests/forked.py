"""Commands in processes that have their imports behind them.

`python -m hptoolkit.study` imports for four seconds before it trains for one. Here a server, one of
each process of pytest, imports once and forks for every command: what it runs has a process, a
folder, an environment, arguments, signals and an exit of its own, as if typed. The processes that
write to MLflow, which commands start in the same way, are forked from it too. How a command behaves
when it begins from nothing is tested with `subprocess`: `test_help_is_fast`, `test_servers`.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import types
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

PIPE, DEVNULL = subprocess.PIPE, subprocess.DEVNULL

# What a command imports at the latest when it trains, draws its report and writes to MLflow. Not
# the modules that are run.
PRELOADED = (
    "hptoolkit.cli.app", "hptoolkit.execution.builtin_study", "hptoolkit.execution.job",
    "hptoolkit.samplers", "hptoolkit.reporting.html", "hptoolkit.reporting.figures",
    "hptoolkit.reporting.dashboard", "hptoolkit.reporting.publish", "hptoolkit.tracking.tracker",
    "optuna_dashboard", "plotly.graph_objects", "plotly.io", "plotly.subplots", "rich.live",
    "mlflow", "mlflow.tracking", "mlflow.store.tracking.sqlalchemy_store", "sklearn.datasets",
    "torch._dynamo",
)  # fmt: skip

# The server's address, for commands that start another one.
_ADDRESS = "HPTOOLKIT_TEST_FORK_SERVER"


class Process:
    """A forked command, with what the tests use of `subprocess.Popen`."""

    stdin: IO[Any] | None = None
    stdout: IO[Any] | None = None
    stderr: IO[Any] | None = None

    def __init__(
        self,
        args: list[str],
        *,
        cwd: str | os.PathLike[str] | None = None,
        env: Mapping[str, str] | None = None,
        stdin: int | IO[Any] | None = None,
        stdout: int | IO[Any] | None = None,
        stderr: int | IO[Any] | None = None,
        text: bool = False,
        start_new_session: bool = False,
    ) -> None:
        self.args = args
        self._mode = "" if text else "b"
        self.returncode: int | None = None
        ours: list[int] = []  # ends of pipes that the command gets
        given = [
            self._end(name, number, wanted, ours)
            for number, (name, wanted) in enumerate(
                (("stdin", stdin), ("stdout", stdout), ("stderr", stderr))
            )
        ]
        request = {
            "args": args,
            "cwd": os.fspath(cwd or os.getcwd()),
            "env": dict(os.environ if env is None else env),
            "new_session": start_new_session,
        }
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(server())
        socket.send_fds(self._connection, [b"-"], given)
        self._connection.sendall(json.dumps(request).encode() + b"\n")
        self._replies = self._connection.makefile("rb")
        self.pid = int(self._replies.readline())
        for descriptor in ours:
            os.close(descriptor)

    def _end(self, name: str, number: int, wanted: int | IO[Any] | None, ours: list[int]) -> int:
        """The descriptor that the command gets; the other end of a pipe becomes an attribute."""
        if wanted is None:
            return number
        if wanted == PIPE:
            reading, writing = os.pipe()
            theirs, mine = (reading, writing) if number == 0 else (writing, reading)
            setattr(self, name, os.fdopen(mine, ("w" if number == 0 else "r") + self._mode))
        elif wanted == DEVNULL:
            theirs = os.open(os.devnull, os.O_RDWR)
        else:
            return wanted if isinstance(wanted, int) else wanted.fileno()
        ours.append(theirs)
        return theirs

    def poll(self) -> int | None:
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
            self.returncode = int(self._replies.readline())
            self._replies.close()
            self._connection.close()
        return self.returncode

    def communicate(self, timeout: float | None = None) -> tuple[Any, Any]:
        """What it writes, until it ends. On a time-out the rest is lost."""
        if self.stdin is not None:
            self.stdin.close()
        texts = dict.fromkeys(("stdout", "stderr"))

        def read(name: str) -> None:
            with getattr(self, name) as pipe:
                texts[name] = pipe.read()

        readers = [
            threading.Thread(target=read, args=(name,), daemon=True)
            for name in texts
            if getattr(self, name) is not None
        ]
        for reader in readers:
            reader.start()
        for reader in readers:
            reader.join(timeout)
            if reader.is_alive():
                raise subprocess.TimeoutExpired(self.args, timeout or 0)
        self.wait(timeout)
        return texts["stdout"], texts["stderr"]

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    args: list[str],
    *,
    timeout: float = 300.0,
    check: bool = False,
    **given: Any,
) -> subprocess.CompletedProcess[str]:
    """As `subprocess.run(args, capture_output=True, text=True)`."""
    process = Process(args, stdout=PIPE, stderr=PIPE, text=True, **given)
    try:
        output, errors = process.communicate(timeout)
    except BaseException:
        process.kill()
        raise
    done = subprocess.CompletedProcess(args, process.wait(), output, errors)
    if check:
        done.check_returncode()
    return done


def is_forkable(args: Any) -> bool:
    """Whether a command is `python -m hptoolkit…`, or `-c 'from hptoolkit…'`."""
    if not isinstance(args, list) or args[0] != sys.executable:
        return False
    position = _program(args)
    begins = {"-m": "hptoolkit", "-c": "from hptoolkit"}.get(args[position - 1])
    return begins is not None and args[position].startswith(begins)


def _program(args: list[str]) -> int:
    """Where a command's module or code stands, after the options of the interpreter."""
    return next((i for i, a in enumerate(args) if i and a not in ("-P", "-m", "-c")), 0)


_started: list[tuple[subprocess.Popen[bytes], tempfile.TemporaryDirectory[str]]] = []


def server() -> str:
    """The address of the server, which is started if there is none yet."""
    if _ADDRESS in os.environ:
        return os.environ[_ADDRESS]
    if not _started:
        folder = tempfile.TemporaryDirectory(prefix="hptoolkit-fork-")
        address = os.path.join(folder.name, "server")
        process = subprocess.Popen(
            [sys.executable, __file__, address],
            stdin=PIPE,  # closed with this process: the server then ends
            stdout=PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1", "MLFLOW_DISABLE_TELEMETRY": "true"},
            start_new_session=True,
        )
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        _started.append((process, folder))
    return os.path.join(_started[0][1].name, "server")


def stop() -> None:
    """End the server, and what it has forked."""
    for process, folder in _started:
        process.communicate(timeout=30)
        folder.cleanup()
    _started.clear()


def _serve(address: str) -> dict[str, Any]:
    """Fork for every request; returns in the forked process, with what it is to run."""
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(address)
    listening.listen(64)
    wake, woken = os.pipe()
    for end in (wake, woken):
        os.set_blocking(end, False)
    signal.signal(signal.SIGCHLD, lambda *_: None)
    signal.set_wakeup_fd(woken)
    print("ready", flush=True)
    running: dict[int, socket.socket] = {}
    while True:
        ready = select.select([listening, wake, 0], [], [])[0]
        if wake in ready:
            os.read(wake, 4096)
            _reap(running)
        if 0 in ready:  # whoever started the server has gone
            for pid in running:
                os.kill(pid, signal.SIGKILL)
            os._exit(0)
        if listening not in ready:
            continue
        connection, _ = listening.accept()
        _, descriptors, _, _ = socket.recv_fds(connection, 1, 3)
        with connection.makefile("rb") as requests:
            request = json.loads(requests.readline())
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for own in (listening, connection, *running.values()):
                own.close()
            for number, descriptor in enumerate(descriptors):
                os.dup2(descriptor, number)
            for descriptor in (wake, woken, *descriptors):
                os.close(descriptor)
            return {**request, "env": {**request["env"], _ADDRESS: address}}
        for descriptor in descriptors:
            os.close(descriptor)
        running[pid] = connection
        with contextlib.suppress(OSError):
            connection.sendall(b"%d\n" % pid)


def _reap(running: dict[int, socket.socket]) -> None:
    with contextlib.suppress(ChildProcessError):
        while True:
            pid, status = os.waitpid(-1, os.WNOHANG)
            if pid == 0:
                return
            connection = running.pop(pid, None)
            if connection is not None:
                with contextlib.suppress(OSError):  # nobody waits for it
                    connection.sendall(b"%d\n" % os.waitstatus_to_exitcode(status))
                connection.close()


def _begin(request: dict[str, Any]) -> None:
    """Run what was asked for, as the interpreter would."""
    import numpy as np

    if request["new_session"]:
        os.setsid()
    os.chdir(request["cwd"])
    before = os.environ.get("PYTHONPATH", "")
    os.environ.clear()
    os.environ.update(request["env"])
    sys.path[0] = os.getcwd()
    if os.environ.get("PYTHONPATH", "") != before:
        sys.path[1:1] = os.environ["PYTHONPATH"].split(os.pathsep)
    if os.environ.get("PYTHONWARNINGS") == "default":
        warnings.simplefilter("default")
    np.random.seed()
    position = _program(request["args"])
    option, program, *arguments = request["args"][position - 1 :]
    sys.argv = [option, *arguments]
    if option == "-m":
        sys.modules.pop(program, None)
        runpy.run_module(program, run_name="__main__", alter_sys=True)
    else:
        exec(program, {"__name__": "__main__"})


def _popen(args: Any, **given: Any) -> Any:
    """Fork what the package starts of itself."""
    return (Process if is_forkable(args) else subprocess.Popen)(args, **given)


def main() -> None:
    with warnings.catch_warnings(action="ignore"):
        for name in PRELOADED:
            importlib.import_module(name)
    shim = types.SimpleNamespace(**{**vars(subprocess), "Popen": _popen})
    for name, module in sys.modules.items():
        if name.startswith("hptoolkit.") and getattr(module, "subprocess", None) is subprocess:
            module.subprocess = shim  # type: ignore[attr-defined]
    threads = [path.read_text().strip() for path in Path("/proc/self/task").glob("*/comm")]
    # A forked process lacks the others. The memory allocator that Arrow brings copes with that.
    if len([name for name in threads if name != "jemalloc_bg_thd"]) > 1:
        raise RuntimeError(f"threads run: {', '.join(threads)}")
    gc.collect()
    gc.freeze()  # what a collection touches is copied in every forked process
    _begin(_serve(sys.argv[1]))


if __name__ == "__main__":
    main()

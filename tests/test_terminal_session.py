"""The commands at a person's terminal, which differs from a pipe."""

from __future__ import annotations

import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from hptoolkit.cli.options import again, print_outcome
from tests.test_study_command import QUICK, command, environment


def at_a_terminal(folder: Path, arguments: list[str], interrupt_at: str = "") -> str:
    """What a command prints into a terminal of 80 columns; SIGINT once it has printed a text."""
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        arguments, cwd=folder, env=environment() | {"COLUMNS": "80"},
        stdin=theirs, stdout=theirs, stderr=theirs, close_fds=True,
    )  # fmt: skip
    os.close(theirs)
    said = b""
    deadline = time.monotonic() + 240
    while time.monotonic() < deadline:
        try:
            part = os.read(ours, 65536)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        said += part
        if interrupt_at and interrupt_at.encode() in said:
            process.send_signal(signal.SIGINT)
            interrupt_at = ""
    process.wait(timeout=30)
    os.close(ours)
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", said.decode()).replace("\r", "")


def test_a_person_gets_sentences_and_no_json(tmp_path: Path) -> None:
    said = at_a_terminal(tmp_path, command(*QUICK, "--trials", "1"))
    assert "Best: " in said
    assert '"n_trials"' not in said
    assert "Traceback" not in said


def test_after_ctrl_c_one_sentence_says_how_to_go_on(tmp_path: Path) -> None:
    slow = [*QUICK, "--set", "training.epochs=400", "--fresh"]
    said = at_a_terminal(tmp_path, command(*slow), interrupt_at="epoch 1/400")
    (line,) = re.findall(r"To go on, run the same command: (.*)", said)
    assert "-m hptoolkit.study digits" in line
    assert "--set training.epochs=400" in line
    assert "--fresh" not in line


def test_a_pipe_gets_json_and_a_terminal_if_it_asks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    print_outcome({"a": 1}, asked=False)
    assert json.loads(capsys.readouterr().out) == {"a": 1}
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True, raising=False)
    print_outcome({"a": 1}, asked=False)
    assert capsys.readouterr().out == ""
    print_outcome({"a": 1}, asked=True)
    assert json.loads(capsys.readouterr().out) == {"a": 1}


def test_the_command_to_repeat_hides_a_password(monkeypatch: pytest.MonkeyPatch) -> None:
    typed = ["/x/hptoolkit/study.py", "digits", "--storage", "postgresql://me:secret@host/db"]
    monkeypatch.setattr(sys, "argv", [*typed, "--set", "a b=1", "--fresh"])
    said = again()
    assert "secret" not in said
    assert said.endswith("--set 'a b=1'")
    assert "-m hptoolkit.study digits --storage" in said

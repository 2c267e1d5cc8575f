"""What is promised when workers are killed and storages fail, on a file and on PostgreSQL.

benchmarks/faults.py does the same with all repetitions and prints the counts.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import faults
from tests.postgres import Server, binaries

pytestmark = pytest.mark.slow


@pytest.fixture(params=["file", "postgresql"])
def address(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    if request.param == "file":
        return str(tmp_path / "studies.log")
    server: Server = request.getfixturevalue("postgres")
    return server.url(f"faults_{request.node.originalname}")


def test_kills_at_random_moments(address: str) -> None:
    outcome = faults.kill_at_random(address, kills=8, seed=0)
    assert outcome.harmless, outcome
    assert outcome.faults == 8
    assert outcome.put_back > 0


def test_kills_in_the_middle_of_a_write(address: str) -> None:
    outcome = faults.kill_in_writes(address, kills=5, seed=0)
    assert outcome.harmless, outcome
    assert outcome.faults == 5
    assert outcome.put_back > 0


def test_two_machines_with_the_same_seed(address: str) -> None:
    outcome = faults.two_machines(address, losses=1, seed=0)
    assert outcome.harmless, outcome
    assert outcome.put_back > 0
    assert outcome.messages == [f"the budget of {faults.TRIALS} trials is used up"] * 2


def test_the_database_is_restarted(postgres: Server) -> None:
    address = postgres.url("restarts")
    outcome = faults.restart_database(address, postgres.stop, postgres.start)
    assert outcome.harmless, outcome
    assert outcome.messages == [f"the budget of {faults.TRIALS} trials is used up"] * 2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    try:
        with faults.small_disk(tmp_path / "disk", 1) as folder:
            yield folder
    except PermissionError as error:
        pytest.skip(f"a small disk cannot be mounted ({error}): root may")


def test_a_full_disk_stops_the_study_which_then_goes_on(disk: Path) -> None:
    outcome = faults.fill_disk(str(disk / "studies.log"), disk)
    assert outcome.harmless, outcome
    (message,) = outcome.messages
    assert message.startswith("Error: The disk that holds the storage")


def test_a_full_disk_of_the_database_stops_the_study_which_then_goes_on() -> None:
    if binaries() is None:
        pytest.skip("PostgreSQL is not installed (Debian: apt-get install postgresql)")
    try:
        with faults.postgres_on_small_disk() as (server, folder):
            outcome = faults.fill_disk(server.url("full"), folder)
    except PermissionError as error:
        pytest.skip(f"a small disk cannot be mounted ({error}): root may")
    assert outcome.harmless, outcome
    (message,) = outcome.messages
    assert message.startswith("Error: The disk of the storage postgresql://me:***@")

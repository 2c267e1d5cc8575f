from __future__ import annotations

from urllib.parse import quote

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hptoolkit.storage.urls import redact, scrub


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://user:secret@host:5432/db", "postgresql://user:***@host:5432/db"),
        (
            "postgresql+psycopg2://u:p@h/db?password=p2&sslmode=require",
            "postgresql+psycopg2://u:***@h/db?password=***&sslmode=require",
        ),
        ("https://token@host/path", "https://***@host/path"),
        ("http://:secret@host", "http://:***@host"),
        ("mysql://u:p@ss/w@rd@h/db", "mysql://u:***@h/db"),  # not escaped
        ("postgresql:/u:p@h/db", "postgresql:/u:***@h/db"),  # a slash too few
        ("u:p@h/db", "u:***@h/db"),  # no scheme
        ("http://[::1:p@h", "http://[:***@h"),
        (
            "mssql+pyodbc:///?odbc_connect=DRIVER%3DX%3BPWD%3Dsecret",
            "mssql+pyodbc:///?odbc_connect=***",
        ),
        ("host=h user=u password=secret", "host=h user=u password=***"),
        ("https://h/p?Access_Token=a#b", "https://h/p?Access_Token=***"),
        ("http://127.0.0.1:5000", "http://127.0.0.1:5000"),
        ("sqlite:///mlruns/mlflow.db", "sqlite:///mlruns/mlflow.db"),
        ("sqlite:////home/me@work/a:b/mlflow.db", "sqlite:////home/me@work/a:b/mlflow.db"),
        ("studies/studies.log", "studies/studies.log"),
        ("", ""),
    ],
)
def test_secrets_are_hidden_and_the_rest_is_shown(url: str, shown: str) -> None:
    assert redact(url) == shown


# Letters are left to the rest of the address, so that a secret is recognised in it.
secrets = st.text("0123456789@:/?#&%;= é\n", min_size=4).filter(lambda s: s.strip("=&; ?"))


@given(secrets, st.booleans())
@example("@@@@", False)
@example("?a=@", False)
def test_no_password_survives_escaped_or_not(secret: str, escaped: bool) -> None:
    password = quote(secret, safe="") if escaped else secret
    shown = redact(f"postgresql+psycopg://user:{password}@host/db")
    assert shown == "postgresql+psycopg://user:***@host/db"


@given(st.text(min_size=1))
def test_redacting_twice_changes_nothing(url: str) -> None:
    assert redact(redact(url)) == redact(url)


def test_an_error_message_is_scrubbed_of_the_secret_as_written_and_as_meant() -> None:
    url = "postgresql://user:p%40ss%2Fword@host/db"
    message = "cannot connect to user:p@ss/word@host as in p%40ss%2Fword"
    assert scrub(message, url) == "cannot connect to user:***@host as in ***"
    assert scrub("connection refused", "http://127.0.0.1:5000") == "connection refused"

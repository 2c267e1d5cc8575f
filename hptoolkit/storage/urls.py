"""Addresses of stores and servers, and what may be shown of them: no credentials."""

from __future__ import annotations

import re
from pathlib import Path
from urllib.parse import unquote

HIDDEN = "***"

_SCHEME = r"^(?>(?:[\w+.-]+:/+)?)"
# `scheme://user:secret@host`. A secret may hold any character, an unescaped "@" or "/" too, so it
# reaches to the last "@": a malformed address loses more than needed rather than a part too little.
_USER_SECRET = re.compile(_SCHEME + r"[^:/@]*:(?P<secret>.*)@", re.DOTALL)
# `scheme://token@host`: a user without a colon, which some services take as the credential.
_TOKEN = re.compile(_SCHEME + r"(?P<secret>[^:/?#@]*)@")
# `?password=secret`, `;pwd=secret`, and the connection string of an ODBC address as a whole.
_FIELD = re.compile(
    r"(?:^|[?&;\s])[^=?&;\s]*(?:pass|pwd|secret|token|key|auth|credential|signature|odbc_connect)"
    r"[^=?&;\s]*=(?P<secret>[^&;\s]*)",
    re.IGNORECASE,
)


def redact(url: str) -> str:
    """The address with passwords and tokens replaced by `***`; malformed addresses too."""
    for start, end in reversed(_spans(url)):
        url = url[:start] + HIDDEN + url[end:]
    return url


def scrub(text: str, url: str) -> str:
    """A text about an address, such as an error message, with the address's secrets replaced."""
    secrets = {url[start:end] for start, end in _spans(url)}
    secrets |= {unquote(secret) for secret in secrets}
    for secret in sorted(secrets, key=len, reverse=True):
        text = text.replace(secret, HIDDEN) if secret else text
    return text


def database_file(uri: str) -> Path | None:
    """The file of an SQLite URI, None for another address."""
    path = uri.partition(":///")[2].partition("?")[0]
    return Path(path).absolute() if scheme(uri) == "sqlite" and path else None


def absolute(uri: str) -> str:
    """The same store whatever the current folder will be."""
    file = database_file(uri)
    if file is None:
        return uri
    _, question_mark, query = uri.partition("?")
    return f"{uri.partition(':///')[0]}:///{file.as_posix()}{question_mark}{query}"


def scheme(uri: str) -> str:
    """What a URI begins with, without a driver: `postgresql` of `postgresql+psycopg://…`."""
    return uri.partition(":")[0].partition("+")[0]


def _spans(url: str) -> list[tuple[int, int]]:
    """Where the secrets stand in an address, in order, without overlaps."""
    # A file's path may hold "@" and ":" and names nobody.
    userinfo = None if url.startswith("sqlite") else _USER_SECRET.match(url) or _TOKEN.match(url)
    spans = [userinfo.span("secret")] if userinfo else []
    after = spans[0][1] if spans else 0
    spans += [m.span("secret") for m in _FIELD.finditer(url, after)]
    return spans

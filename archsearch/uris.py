"""Addresses of stores: what of them may be shown, and what they take from the environment.

An address is `scheme://user:password@host/path?name=value`. People write passwords as they are, with `@`, `/`
or `?` in them, so what could be a password counts as one: too little is shown rather than too much.
"""

import os
import re
from collections.abc import Mapping
from typing import Final

from archsearch.errors import UserError

MASK: Final = "***"
_MASKED: Final = rf"\1{MASK}"

_ADDRESS: Final = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>|]+")
_SECRET: Final = re.compile(
    r"([?&;](?:[\w.-]*(?:pass|pwd|token|secret|key|sig|auth|cred)[\w.-]*|odbc_connect)=)[^&;#]*",
    re.IGNORECASE,
)
_QUERY: Final = re.compile(r"[?#][A-Za-z_][\w.-]*=")
_VARIABLE: Final = re.compile(r"\$\{([A-Za-z_]\w*)\}")


def shown_uri(uri: str) -> str:
    """Return an address as it may be shown: passwords and tokens in it are ***."""
    scheme, slashes, rest = uri.partition("://")
    if not slashes:
        return _SECRET.sub(_MASKED, uri)
    query = _QUERY.search(rest)
    end = query.start() if query else len(rest)
    place, options = rest[:end], rest[end:]
    at = place.rfind("@")
    colon = place.find(":", 0, at) if at >= 0 else -1
    if colon >= 0 and "/" not in place[:colon]:  # a slash comes first in a path
        place = f"{place[:colon]}:{MASK}{place[at:]}"
    return f"{scheme}://{place}{_SECRET.sub(_MASKED, options)}"


def check_password(uri: str) -> None:
    """Refuse a database's address with an `@` in its password: its library takes the rest for the host.

    It would say so, and with it a part of the password.

    Raises:
        UserError: it has one.
    """
    place = uri.partition("://")[2]
    query = _QUERY.search(place)
    place = place[: query.start()] if query else place
    user = place.partition("@")[0]
    if place.count("@") > 1 and ":" in user and "/" not in user.partition(":")[0]:
        raise UserError(
            f"{shown_uri(uri)} does not open: its password ends at an @; write %40 for each"
        )


def without_secrets(text: str) -> str:
    """Return a text, a library's message say, with the addresses in it as they may be shown."""
    return _ADDRESS.sub(lambda found: shown_uri(found[0]), text)


def expanded(uri: str, environ: Mapping[str, str] | None = None) -> str:
    """Return an address with `${NAME}` in it replaced by the environment variable of that name.

    So a password need not stand in a command line or in a file.

    Raises:
        UserError: there is no such variable.
    """
    known = os.environ if environ is None else environ

    def value(found: re.Match[str]) -> str:
        if found[1] not in known:
            raise UserError(
                f"{shown_uri(uri)}: there is no environment variable {found[1]}; set it, "
                "or write the address in full"
            )
        return known[found[1]]

    return _VARIABLE.sub(value, uri)

"""Addresses of stores, as they may be shown."""

import re


def shown_uri(uri: str) -> str:
    """Return a store's address without its password."""
    return re.sub(r"//([^:/@]*):[^@]*@", r"//\1:***@", uri)

"""Imported by every Python process with this folder in its PYTHONPATH: notes whom it would speak to."""

import os
import sys

_EVENTS = ("socket.connect", "socket.getaddrinfo", "socket.sendto", "socket.bind")


def _note(event: str, arguments: tuple[object, ...]) -> None:
    if event in _EVENTS:
        address = (
            arguments[1]
            if event in ("socket.connect", "socket.sendto", "socket.bind")
            else arguments[0]
        )
        with open(os.environ["WATCHED_BY"], "a", encoding="utf-8") as file:
            file.write(f"{event}\t{address!r}\n")


sys.addaudithook(_note)

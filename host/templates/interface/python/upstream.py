"""Requests to the upstream."""

import os
from typing import NoReturn
from urllib.parse import quote

from componentize_py_types import Err
from wit_world.imports import fetch
from wit_world.imports.fetch import FetchError, FetchError_InvalidRequest, Request, Response


class RequestFailed(Exception):
    """There is no response; `error` says why."""

    def __init__(self, error: FetchError) -> None:
        super().__init__(repr(error))
        self.error = error


def get(*segments: object) -> Response:
    """Sends `GET BASE_URL/segment/...`, and returns the response with any status."""
    base = os.environ.get("BASE_URL")
    if base is None:
        invalid("expected the setting BASE_URL, got none")
    url = "/".join([base.rstrip("/"), *(path_segment(str(segment)) for segment in segments)])
    try:
        return fetch.fetch(Request("GET", url, [("accept", "application/json")], None))
    except Err as error:
        raise RequestFailed(error.value) from None


def path_segment(text: str) -> str:
    """An argument as one segment of a path. Without encoding, it could choose another path or add parameters, and even
    encoded, a segment of dots means another folder."""
    if text in ("", ".", ".."):
        invalid(f'expected an argument that can be a segment of a path, got "{text}"')
    return quote(text, safe="")


def invalid(why: str) -> NoReturn:
    raise RequestFailed(FetchError_InvalidRequest(why))


def unfinished(name: str, response: Response) -> NoReturn:
    """Ends a call whose function is not written yet. Remove it when all of them are."""
    raise NotImplementedError(
        f"{name} is not written yet: expected an answer from it in client.py, "
        f"its request got a response with the status {response.status}"
    )

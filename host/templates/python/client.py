"""A client of Oneflight: one request for each call. Sharing, limits and deadlines are the host's."""

import json
import os
import re
from collections.abc import Iterator
from typing import NoReturn
from urllib.parse import quote

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports.items import (
    Error,
    Error_Denied,
    Error_InvalidKey,
    Error_NotFound,
    Error_Other,
    Error_RateLimited,
    Error_UpstreamMalformed,
    Error_UpstreamStatus,
    Error_UpstreamUnavailable,
    Item,
)
from wit_world.imports import fetch
from wit_world.imports.fetch import Body, Body_Text, Request


class Items(exports.Items):
    def get_items(self, x: str) -> list[Item]:
        response = get(f"{base_url()}/{path_segment(x)}")
        match response.status:
            case 200:
                return items_of(response.body)
            case 204:
                return []
            case 404:
                fail(Error_NotFound())
            case 429:
                # Without a number of seconds, callers get the Retry-After of the response.
                fail(Error_RateLimited(None))
            case status:
                fail(Error_UpstreamStatus(status))


def fail(error: Error) -> NoReturn:
    """Ends the call with this error. Any other exception would be a crash of the client."""
    raise Err(error)


def base_url() -> str:
    try:
        return os.environ["BASE_URL"].rstrip("/")
    except KeyError:
        fail(Error_Other("expected the setting BASE_URL, got none"))


def path_segment(key: str) -> str:
    """The key as one segment of a path. Without encoding, a key could choose another path or add parameters, and even
    encoded, a segment of dots means another folder."""
    if key in ("", ".", ".."):
        fail(Error_InvalidKey(f"expected a key that can be a segment of a path, got {key!r}"))
    return quote(key, safe="")


def get(url: str) -> fetch.Response:
    try:
        return fetch.fetch(Request("GET", url, [("accept", "application/json")], None))
    except Err as err:
        match err.value:
            case fetch.FetchError_Denied(text):
                fail(Error_Denied(text))
            case fetch.FetchError_Malformed(text):
                fail(Error_UpstreamMalformed(text))
            case fetch.FetchError_InvalidRequest(text):
                fail(Error_Other(text))
            case error:
                fail(Error_UpstreamUnavailable(error.value))


def items_of(body: Body) -> list[Item]:
    if not isinstance(body, Body_Text):
        fail(Error_UpstreamMalformed("expected UTF-8"))
    # A byte-order mark is no part of JSON, but some servers send it.
    text = body.value.removeprefix("\ufeff")
    try:
        array = json.loads(text)
    except (ValueError, RecursionError) as error:
        fail(Error_UpstreamMalformed(str(error)))
    if not isinstance(array, list):
        fail(Error_UpstreamMalformed("expected an array"))
    return [Item(id_of(item), part) for item, part in zip(array, parts_of(text))]


def parts_of(array: str) -> Iterator[str]:
    """The elements of a JSON array as they are written. Python would round numbers of more than 15 digits."""
    decoder = json.JSONDecoder()
    end = array.index("[") + 1
    while (start := PART.search(array, end)) is not None:
        _, end = decoder.raw_decode(array, start.start())
        yield array[start.start() : end]


# The first character of an element.
PART = re.compile(r"[^\s,\]]")


def id_of(item: object) -> str:
    match item:
        case {"id": bool()}:
            pass
        case {"id": str() | int() as id}:
            return str(id)
    fail(Error_UpstreamMalformed("expected items with an id that is a string or an integer"))

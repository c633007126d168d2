"""Where the pictures of a request may come from: the request itself, and what its owner allows."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import unquote, urlsplit

import httpx2

from mlcd.servers.api_errors import ApiError

_FETCH_TIMEOUT_S = 10.0


class PictureSources:
    """Pictures by their addresses: data URLs always, files and hosts as far as they are allowed."""

    def __init__(
        self,
        *,
        folders: Sequence[str | Path] = (),
        hosts: Sequence[str] = (),
        max_bytes: int = 64 * 2**20,
    ) -> None:
        self._folders = [Path(folder).expanduser().resolve() for folder in folders]
        for given, folder in zip(folders, self._folders, strict=True):
            if not folder.is_dir():
                raise ValueError(f"{given}: expected a folder of pictures that may be asked about")
        self._hosts, self._max_bytes = tuple(hosts), max_bytes

    def open(self, address: str) -> bytes | Path:
        """The bytes of a picture, or the path of its file; `ApiError` when it is not allowed."""
        scheme = address.split(":", 1)[0].lower() if ":" in address else ""
        if scheme == "data":
            return _decoded(address)
        if scheme in ("http", "https"):
            return self._fetched(address)
        if scheme == "file" or address.startswith("/"):
            return self._file(address)
        raise ApiError(
            400,
            "image_url: expected data:image/...;base64,... or the absolute path of a file in an "
            f"allowed folder, got {address[:60]!r}",
            param="messages",
        )

    def _file(self, address: str) -> Path:
        path = Path(_path_of(address))
        try:
            found = path.resolve()  # links and .. are followed before it is judged
        except (OSError, ValueError, RuntimeError):  # RuntimeError: links in a circle
            found = Path("/")
        # a file that does not exist outside is refused like one that does: nothing is told of it
        if not any(found.is_relative_to(folder) for folder in self._folders):
            raise ApiError(
                403,
                f"{str(path)[:200]!r} is in no folder that this server reads; send the picture as "
                "data:image/...;base64,..., or start the server with --allow-files FOLDER",
                code="path_not_allowed",
                param="messages",
            )
        return found

    def _fetched(self, address: str) -> bytes:
        host = urlsplit(address).netloc.rpartition("@")[2].lower()
        if host not in self._hosts:
            raise ApiError(
                403,
                f"this server fetches no pictures from {host!r}; send them as "
                "data:image/...;base64,..., or start the server with --fetch-from HOST",
                code="address_not_allowed",
                param="messages",
            )
        try:
            # no redirects: they could lead to any other host
            with httpx2.stream("GET", address, timeout=_FETCH_TIMEOUT_S) as response:
                if response.status_code != 200:
                    raise ApiError(
                        400, f"{address[:200]}: expected 200, got {response.status_code}"
                    )
                return self._read(response, address)
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise ApiError(400, f"{address[:200]}: cannot be fetched: {error}") from error

    def _read(self, response: httpx2.Response, address: str) -> bytes:
        data = bytearray()
        for part in response.iter_bytes():
            data += part
            if len(data) > self._max_bytes:
                limit = self._max_bytes
                raise ApiError(413, f"{address[:200]}: expected at most {limit:,} bytes, got more")
        return bytes(data)


def _decoded(address: str) -> bytes:
    kind, comma, data = address.partition(",")
    if not comma or not kind.lower().endswith(";base64"):
        raise ApiError(
            400,
            f"image_url: expected data:image/png;base64,... got {address[:60]!r}",
            param="messages",
        )
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ApiError(400, f"image_url: not base64: {error}", param="messages") from error


def _path_of(address: str) -> str:
    if address.startswith("/"):
        return address
    parts = urlsplit(address)
    if parts.netloc not in ("", "localhost"):
        raise ApiError(
            400, f"expected file:///path, got the host {parts.netloc!r}", param="messages"
        )
    return unquote(parts.path)

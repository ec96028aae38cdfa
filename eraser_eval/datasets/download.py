"""Downloads that resume and are checked."""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
from collections.abc import Callable
from contextlib import suppress
from http.client import HTTPException, HTTPMessage, HTTPResponse
from pathlib import Path
from typing import IO, cast
from urllib.error import HTTPError
from urllib.request import HTTPRedirectHandler, Request, build_opener

from eraser_eval.errors import DataError, MissingError, UsageError, UserError, printable
from eraser_eval.files import write_json

BLOCK = 1 << 16
Report = Callable[[int, int | None], None]


class _TroubleError(Exception):
    """A failed attempt; ``ended`` is where the file ends by a server whose connection did not break."""

    def __init__(self, reason: object, ended: int | None = None) -> None:
        super().__init__(printable(str(reason)) or type(reason).__name__)
        self.ended = ended


class _Part:
    """What came of a file so far and what its server says of the whole; both outlive the process."""

    def __init__(self, target: Path, url: str) -> None:
        self.url, self.validator, self.total = url, "", cast("int | None", None)
        self.path, self.notes = target.with_name(f"{target.name}.part"), target.with_name(f"{target.name}.part.json")
        with suppress(OSError, ValueError, TypeError, KeyError):
            notes = json.loads(self.notes.read_text(encoding="utf-8"))
            if notes["url"] == url:
                self.validator = str(notes["validator"])
                self.total = None if notes["total"] is None else int(notes["total"])

    def begin(self, validator: str, total: int | None) -> None:
        self.validator, self.total = validator if validator.isascii() and validator.isprintable() else "", total
        # In this order: old bytes beside new notes would pass for the start of the new file.
        self.path.write_bytes(b"")
        write_json(self.notes, {"url": self.url, "validator": self.validator, "total": total})

    def size(self) -> int:
        """Bytes to resume after; 0 where nothing tells whether the rest would be of the same file."""
        return self.path.stat().st_size if self.validator and self.path.is_file() else 0

    def clear(self) -> None:
        self.validator, self.total = "", None
        self.path.unlink(missing_ok=True)
        self.notes.unlink(missing_ok=True)


class _OnlyHttp(HTTPRedirectHandler):
    def http_error_302(self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage) -> object:
        # The base class would read this body to its end, which may never come.
        fp.close()
        return super().http_error_302(req, fp, code, msg, headers)

    http_error_301 = http_error_303 = http_error_307 = http_error_308 = http_error_302

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        if not newurl.lower().startswith(("http://", "https://")):
            raise HTTPError(newurl, code, msg, headers, fp)
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def download(
    url: str,
    target: Path,
    *,
    sha256: str | None = None,
    max_bytes: int,
    report: Report = lambda _done, _total: None,
    timeout: float = 30,
    attempts: int = 5,
    pause: float = 0.5,
) -> str:
    """The SHA-256 (64 hexadecimal digits) of the file at ``url``, written to ``target`` whole or not at all.

    What came before the network failed or the user interrupted stays in ``<target>.part``, where the next call goes on
    if the server says that the file is the same. Not for two processes at once.

    Args:
        url: http or https.
        target: replaced if it exists.
        sha256: what the file must have.
        max_bytes: of the file.
        report: gets the bytes that are there and those of the whole (None: not announced) as they come.
        timeout: seconds without a byte that end an attempt.
        attempts: at least 1.
        pause: seconds before the second attempt; doubles with each.

    Raises:
        UsageError: ``url`` is not an http or https address.
        MissingError: the network or the server fails in all attempts, or there is no such file.
        DataError: wrong checksum, too long, or of another length than the server says.
    """
    if not re.fullmatch(r"https?://[^/\s]\S*", url, re.IGNORECASE):
        raise UsageError(f"{url!r} is not an http or https address; mend it")
    target.parent.mkdir(parents=True, exist_ok=True)
    part = _Part(target, url)
    try:
        _insist(part, max_bytes, report, timeout, attempts, pause)
        with part.path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
        if sha256 is not None and found != sha256.lower():
            raise DataError(url, f"its SHA-256 is {found}, not {sha256}; the file has changed, or mend the checksum")
    except UserError as error:
        if isinstance(error, DataError) or not part.size():
            part.clear()
        raise
    os.replace(part.path, target)
    part.clear()
    return found


def _insist(part: _Part, max_bytes: int, report: Report, timeout: float, attempts: int, pause: float) -> None:
    ended: int | None = None
    for attempt in range(attempts):
        try:
            return _receive(part, max_bytes, report, timeout)
        except _TroubleError as trouble:
            if attempt + 1 == attempts:
                # A network hardly breaks twice at the same byte.
                if trouble.ended is not None and trouble.ended == ended:
                    raise DataError(part.url, f"not as long as its server says ({trouble}); tell its owner") from None
                raise MissingError(f"{part.url}: {trouble}; check the address and the network, try again") from None
            ended = trouble.ended
        time.sleep(pause * 2**attempt)


def _open(part: _Part, start: int, timeout: float) -> HTTPResponse:
    try:
        request = Request(part.url, headers={"User-Agent": "adapler-explain"})
        if start:
            request.add_header("Range", f"bytes={start}-")
            request.add_header("If-Range", part.validator)
        return cast(HTTPResponse, build_opener(_OnlyHttp).open(request, timeout=timeout))
    except HTTPError as error:
        error.close()
        if error.code == 416 and start:
            part.clear()
            raise _TroubleError(f"the server has nothing after byte {start}", start) from None
        if error.code in (408, 429) or error.code >= 500:
            raise _TroubleError(f"the server answers HTTP {error.code}") from None
        if error.code >= 400:
            raise MissingError(f"{part.url}: the server answers HTTP {error.code}; check the address") from None
        raise DataError(part.url, f"leads (HTTP {error.code}) to no place on the web; check the address") from None
    except (OSError, HTTPException, ValueError) as error:
        raise _TroubleError(getattr(error, "reason", error)) from error


def _receive(part: _Part, max_bytes: int, report: Report, timeout: float) -> None:
    """Add to ``part`` what one request brings, which is all that was wanting if nothing is raised."""
    with _open(part, part.size(), timeout) as response, _agreed(part, response).open("ab") as file:
        size, total = file.tell(), part.total
        bound = max_bytes if total is None else total
        if bound > max_bytes:
            raise DataError(part.url, f"{bound} bytes, more than the {max_bytes} allowed; allow more or do without it")
        block = b""
        while True:
            size += file.write(block)
            report(size, total)
            try:
                block = response.read1(BLOCK)
            except (OSError, HTTPException) as error:
                # Some servers do not hang up.
                if size != total:
                    raise _TroubleError(error) from error
                block = b""
            if not block:
                break
            if size + len(block) > bound:
                raise DataError(part.url, f"more than {bound} bytes come, as announced or allowed; tell its owner")
    if total not in (None, size):
        raise _TroubleError(f"the connection ended after {size} of {total} bytes", size)


def _agreed(part: _Part, response: HTTPResponse) -> Path:
    """The file to which the body of ``response`` is to be added; it is emptied if that is not the rest of it."""
    start, headers = part.size(), response.headers
    etag = headers.get("ETag", "")
    validator = etag if etag.startswith('"') else headers.get("Last-Modified", "")
    if response.status == 200:
        length = headers.get("Content-Length", "")
        part.begin(validator, int(length) if re.fullmatch("[0-9]{1,18}", length) and not response.chunked else None)
    elif response.status == 206 and start:
        found = re.fullmatch(rf"bytes {start}-[0-9]+/(\*|[0-9]{{1,18}})", headers.get("Content-Range", ""))
        same = found and (part.total is None or found[1] in ("*", str(part.total)))
        if not found or not same or validator not in ("", part.validator):
            part.clear()
            raise _TroubleError("the server answers with a part of something else")
        part.total = part.total if found[1] == "*" else int(found[1])
    else:
        raise MissingError(f"{part.url}: the server answers HTTP {response.status} and no file; check the address")
    # With a length the reader stops there, and that more follows is never seen.
    response.length = None
    return part.path

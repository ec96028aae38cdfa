"""Downloads resume and are checked; archives write nothing but plain files in one new folder."""

from __future__ import annotations

import errno
import gzip
import hashlib
import io
import json
import random
import socket
import tarfile
import threading
import time
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from eraser_eval.datasets import fetch
from eraser_eval.datasets.fetch import download, fetch_archive, unpack
from eraser_eval.errors import DataError, MissingError, UsageError, UserError

BODY = random.Random(0).randbytes(200_000)
HALF = len(BODY) // 2
MANY = 10**6


class Handler(BaseHTTPRequestHandler):
    """Leaves each path to its route, which gets this handler and how often the path was asked for before."""

    server: Server

    def do_GET(self) -> None:
        before = sum(path == self.path for path, _ in self.server.asked)
        self.server.asked.append((self.path, dict(self.headers)))
        with suppress(ConnectionError):
            self.server.routes[self.path](self, before)

    def start(self, status: int, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        """No log."""


Route = Callable[[Handler, int], None]


class Server(ThreadingHTTPServer):
    """A server of ``routes`` on this machine; ``over`` is set when the test is."""

    daemon_threads = False

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.routes: dict[str, Route] = {}
        self.asked: list[tuple[str, dict[str, str]]] = []
        self.over = threading.Event()

    def add(self, route: Route, path: str = "/file") -> str:
        self.routes[path] = route
        return f"http://127.0.0.1:{self.server_port}{path}"

    def ranges(self) -> list[str | None]:
        return [headers.get("Range") for _, headers in self.asked]


@pytest.fixture
def server() -> Iterator[Server]:
    with Server() as it:
        thread = threading.Thread(target=it.serve_forever, kwargs={"poll_interval": 0.005})
        thread.start()
        yield it
        it.over.set()
        it.shutdown()
        thread.join()


def good(body: bytes = BODY, etag: str = '"1"', cuts: int = 0, cut: int = HALF, stall: bool = False) -> Route:
    """A server that can resume and that breaks the first ``cuts`` connections after ``cut`` bytes."""

    def route(handler: Handler, before: int) -> None:
        start = 0
        wanted = handler.headers.get("Range")
        if wanted and handler.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start and start >= len(body):
            return handler.start(416, Content_Range=f"bytes */{len(body)}")
        rest = body[start:]
        of = {"Content_Range": f"bytes {start}-{len(body) - 1}/{len(body)}"} if start else {}
        handler.start(206 if start else 200, ETag=etag, Content_Length=len(rest), **of)
        handler.wfile.write(rest[:cut] if before < cuts else rest)
        if before < cuts and stall:
            handler.server.over.wait()

    return route


def plain(body: bytes, *before: bytes, **headers: object) -> Route:
    """A server that sends whole answers only, those in ``before`` first."""

    def route(handler: Handler, count: int) -> None:
        handler.start(200, **headers)
        handler.wfile.write([*before, body][min(count, len(before))])

    return route


def status(code: int, then: Route | None = None, **headers: object) -> Route:
    return lambda handler, before: then(handler, before) if then and before else handler.start(code, **headers)


def get(url: str, folder: Path, **options: object) -> str:
    return download(url, folder / "x", **{"max_bytes": MANY, "timeout": 5, "pause": 0.001, "attempts": 3} | options)


def left(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*"))


def fails(kind: type[UserError], folder: Path, names: str, about: str, act: Callable[[], object]) -> None:
    """``act`` raises ``kind`` with one line that names ``names`` and speaks of ``about``; nothing new is left."""
    before = left(folder)
    with pytest.raises(kind) as caught:
        act()
    text = str(caught.value)
    assert type(caught.value) is kind and text.isprintable()
    # What is left of the names may not speak of it: the folder is named after the test.
    assert names in text and about in text.replace(names, "").replace(str(folder), "")
    assert left(folder) == before


def test_a_file_comes_whole_with_its_checksum(server: Server, tmp_path: Path) -> None:
    calls: list[tuple[int, int | None]] = []
    (tmp_path / "x").write_text("old")
    url = server.add(good())
    found = get(url, tmp_path, sha256=hashlib.sha256(BODY).hexdigest().upper(), report=lambda *call: calls.append(call))
    assert found == hashlib.sha256(BODY).hexdigest() and (tmp_path / "x").read_bytes() == BODY
    assert left(tmp_path) == ["x"] and server.ranges() == [None]
    assert calls[0] == (0, len(BODY)) and calls[-1] == (len(BODY), len(BODY))
    assert calls == sorted(calls) and len(calls) > 3


def test_slow_data_is_reported_as_it_comes(server: Server, tmp_path: Path) -> None:
    arrived = {size: threading.Event() for size in range(1, 6)}

    def trickle(handler: Handler, before: int) -> None:
        handler.start(200, Content_Length=5)
        for event in arrived.values():
            handler.wfile.write(b"x")
            assert event.wait(4)

    get(server.add(trickle), tmp_path, report=lambda done, total: arrived[done].set() if done else None)
    assert (tmp_path / "x").read_bytes() == b"xxxxx" and len(server.asked) == 1


@pytest.mark.parametrize("stall", [False, True], ids=["cut", "silent"])
def test_broken_connections_are_resumed(server: Server, tmp_path: Path, stall: bool) -> None:
    url = server.add(good(cuts=2, cut=60_000, stall=stall))
    get(url, tmp_path, sha256=hashlib.sha256(BODY).hexdigest(), timeout=0.3 if stall else 5)
    assert server.ranges() == [None, "bytes=60000-", "bytes=120000-"]
    assert [headers.get("If-Range") for _, headers in server.asked] == [None, '"1"', '"1"']
    assert left(tmp_path) == ["x"]


def test_the_next_call_goes_on_where_the_last_gave_up(server: Server, tmp_path: Path) -> None:
    url = server.add(good(cuts=2, cut=60_000))
    with pytest.raises(MissingError, match=f"^{url}: .*after 120000 of 200000 bytes"):
        get(url, tmp_path, attempts=2)
    assert (tmp_path / "x.part").read_bytes() == BODY[:120_000]
    assert left(tmp_path) == ["x.part", "x.part.json"]
    calls: list[int] = []
    get(url, tmp_path, report=lambda done, total: calls.append(done))
    assert calls[0] == 120_000 and server.ranges() == [None, "bytes=60000-", "bytes=120000-"]
    assert (tmp_path / "x").read_bytes() == BODY and left(tmp_path) == ["x"]


def test_an_interrupt_leaves_what_can_be_resumed(server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done > HALF:
            raise KeyboardInterrupt

    url = server.add(good())
    with pytest.raises(KeyboardInterrupt):
        get(url, tmp_path, report=interrupt)
    size = (tmp_path / "x.part").stat().st_size
    assert size > HALF
    get(url, tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY and server.ranges() == [None, f"bytes={size}-"]


def test_what_came_from_another_address_or_has_no_notes_is_not_resumed(server: Server, tmp_path: Path) -> None:
    url = server.add(good())
    for notes in ('{"url": "http://other", "validator": "\\"1\\"", "total": null}', "no JSON", "[]", "{}"):
        (tmp_path / "x.part").write_bytes(b"?" * 100)
        (tmp_path / "x.part.json").write_text(notes)
        get(url, tmp_path)
        assert (tmp_path / "x").read_bytes() == BODY
    assert server.ranges() == [None] * 4


@pytest.mark.parametrize("etag", ["", 'W/"1"'])
def test_without_a_strong_validator_the_file_starts_anew(server: Server, tmp_path: Path, etag: str) -> None:
    url = server.add(plain(BODY, BODY[:HALF], ETag=etag, Content_Length=len(BODY)))
    get(url, tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY and server.ranges() == [None, None]
    url = server.add(plain(BODY[:HALF], BODY[:7], ETag=etag, Content_Length=len(BODY)), "/never")
    fails(MissingError, tmp_path, url, "of 200000 bytes", lambda: get(url, tmp_path, attempts=2))


def test_the_date_of_a_file_serves_as_validator(server: Server, tmp_path: Path) -> None:
    date = "Sat, 01 Jan 2022 00:00:00 GMT"
    url = server.add(plain(BODY, BODY[:HALF], Last_Modified=date, Content_Length=len(BODY)))
    get(url, tmp_path)
    assert server.ranges() == [None, f"bytes={HALF}-"] and server.asked[1][1]["If-Range"] == date
    # It does not know ranges: the second answer is the whole file.
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_file_that_changed_meanwhile_starts_anew(server: Server, tmp_path: Path) -> None:
    new = BODY[::-1]
    old, later = good(cuts=1), good(new, etag='"2"')
    url = server.add(lambda handler, before: (later if before else old)(handler, before))
    get(url, tmp_path)
    assert server.ranges() == [None, f"bytes={HALF}-"] and (tmp_path / "x").read_bytes() == new


@pytest.mark.parametrize(
    "headers",
    [
        {"ETag": '"2"', "Content_Range": f"bytes {HALF}-{len(BODY) - 1}/{len(BODY)}"},
        {"Content_Range": f"bytes {HALF}-{len(BODY)}/{len(BODY) + 1}"},
        {"Content_Range": f"bytes {HALF - 1}-{len(BODY) - 1}/{len(BODY)}"},
        {"Content_Range": "nonsense"},
        {},
    ],
    ids=["other tag", "other length", "other start", "nonsense", "no range"],
)
def test_a_part_that_does_not_fit_is_not_appended(server: Server, tmp_path: Path, headers: dict[str, str]) -> None:
    def route(handler: Handler, before: int) -> None:
        if before != 1:
            return good(cuts=1)(handler, before)
        handler.start(206, **headers)
        handler.wfile.write(b"?" * HALF)

    get(server.add(route), tmp_path)
    assert server.ranges() == [None, f"bytes={HALF}-", None] and (tmp_path / "x").read_bytes() == BODY


def test_a_part_of_unknown_total_is_appended(server: Server, tmp_path: Path) -> None:
    def route(handler: Handler, before: int) -> None:
        if not before:
            return good(cuts=1)(handler, before)
        handler.start(206, Content_Range=f"bytes {HALF}-{len(BODY) - 1}/*")
        handler.wfile.write(BODY[HALF:])

    get(server.add(route), tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY


def test_a_part_that_was_not_asked_for_is_refused(server: Server, tmp_path: Path) -> None:
    def route(handler: Handler, before: int) -> None:
        handler.start(206, Content_Range=f"bytes 0-{len(BODY) - 1}/{len(BODY)}")
        handler.wfile.write(BODY)

    url = server.add(route)
    fails(MissingError, tmp_path, url, "HTTP 206", lambda: get(url, tmp_path))


def test_a_part_beyond_the_end_starts_anew(server: Server, tmp_path: Path) -> None:
    url = server.add(good())
    (tmp_path / "x.part").write_bytes(BODY + b"?")
    (tmp_path / "x.part.json").write_text(json.dumps({"url": url, "validator": '"1"', "total": None}))
    get(url, tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY and server.ranges() == ["bytes=200001-", None]


def test_a_body_longer_than_announced_fails_at_once(server: Server, tmp_path: Path) -> None:
    url = server.add(plain(BODY, Content_Length=HALF, ETag='"1"'))
    fails(DataError, tmp_path, url, f"more than {HALF} bytes", lambda: get(url, tmp_path))
    url = server.add(plain(b"x", Content_Length=0), "/empty")
    fails(DataError, tmp_path, url, "more than 0 bytes", lambda: get(url, tmp_path))
    assert len(server.asked) == 2


@pytest.mark.parametrize("etag", ["", '"1"'], ids=["starts anew", "resumes"])
def test_a_body_that_is_always_shorter_than_announced_fails(server: Server, tmp_path: Path, etag: str) -> None:
    def route(handler: Handler, before: int) -> None:
        if "Range" in handler.headers:
            return handler.start(416, Content_Range=f"bytes */{HALF}")
        handler.start(200, Content_Length=len(BODY), ETag=etag)
        handler.wfile.write(BODY[:HALF])

    url = server.add(route)
    fails(DataError, tmp_path, url, "not as long as its server says", lambda: get(url, tmp_path))
    assert len(server.asked) == 3


@pytest.mark.parametrize("headers", [{"Content_Length": len(BODY)}, {}], ids=["announced", "not announced"])
def test_too_large_a_file_is_not_begun_or_not_finished(
    server: Server, tmp_path: Path, headers: dict[str, object]
) -> None:
    calls = [0]

    def limited(max_bytes: int) -> str:
        return get(url, tmp_path, max_bytes=max_bytes, report=lambda done, total: calls.append(done))

    url = server.add(plain(BODY, **headers))
    limited(len(BODY))
    (tmp_path / "x").unlink()
    calls = [0]
    fails(DataError, tmp_path, url, "199999", lambda: limited(len(BODY) - 1))
    assert len(server.asked) == 2 and (max(calls) == 0 if headers else 0 < max(calls) < len(BODY))


def test_chunks_are_put_together_and_a_missing_one_is_missed(server: Server, tmp_path: Path) -> None:
    chunks = b"5\r\nhello\r\n", b"6\r\n world\r\n", b"0\r\n\r\n"

    class Chunked(Handler):
        protocol_version = "HTTP/1.1"

    def route(handler: Handler, before: int) -> None:
        handler.close_connection = True
        handler.start(200, Transfer_Encoding="chunked", Content_Length=3)
        handler.wfile.write(b"".join(chunks if before else chunks[:1]))

    server.RequestHandlerClass = Chunked
    totals = set()
    get(server.add(route), tmp_path, report=lambda done, total: totals.add(total))
    assert (tmp_path / "x").read_bytes() == b"hello world" and len(server.asked) == 2 and totals == {None}


def test_a_server_that_does_not_hang_up_is_not_a_failure(server: Server, tmp_path: Path) -> None:
    def route(handler: Handler, before: int) -> None:
        good()(handler, before)
        handler.wfile.flush()
        handler.server.over.wait()

    get(server.add(route), tmp_path, timeout=0.3)
    assert (tmp_path / "x").read_bytes() == BODY and len(server.asked) == 1


def test_what_the_server_does_not_have_is_asked_for_once(server: Server, tmp_path: Path) -> None:
    for code in (404, 403, 204):
        url = server.add(status(code), f"/{code}")
        fails(MissingError, tmp_path, url, f"HTTP {code}", lambda url=url: get(url, tmp_path))
    assert len(server.asked) == 3


def test_a_server_in_trouble_is_asked_again(server: Server, tmp_path: Path) -> None:
    for code in (500, 503, 429):
        get(server.add(status(code, then=good()), f"/{code}"), tmp_path)
        assert (tmp_path / "x").read_bytes() == BODY
        (tmp_path / "x").unlink()
    server.asked.clear()
    url = server.add(status(500))
    fails(MissingError, tmp_path, url, "HTTP 500", lambda: get(url, tmp_path))
    assert len(server.asked) == 3


def test_the_pause_doubles(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pauses: list[float] = []
    url = server.add(status(500))
    # The server's own thread does not sleep; it selects.
    monkeypatch.setattr(time, "sleep", pauses.append)
    fails(MissingError, tmp_path, url, "HTTP 500", lambda: get(url, tmp_path, attempts=4, pause=2))
    assert pauses == [2, 4, 8]


def test_a_network_that_is_not_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/file"
    fails(MissingError, tmp_path, url, "refused", lambda: get(url, tmp_path))

    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    url = "https://name.invalid/file"
    fails(MissingError, tmp_path, url, "Name or service not known", lambda: get(url, tmp_path))


def test_silence_and_noise(server: Server, tmp_path: Path) -> None:
    url = server.add(lambda handler, before: void(handler.server.over.wait()), "/silent")
    fails(MissingError, tmp_path, url, "timed out", lambda: get(url, tmp_path, timeout=0.1, attempts=2))
    url = server.add(lambda handler, before: void(handler.wfile.write(b"\x1b[31mnoise\r\n\r\n")), "/noise")
    fails(MissingError, tmp_path, url, "noise", lambda: get(url, tmp_path))


def void(_: object) -> None:
    """Nothing."""


def test_a_wrong_checksum_leaves_nothing_but_the_old_file(server: Server, tmp_path: Path) -> None:
    (tmp_path / "x").write_text("old")
    url = server.add(good())
    found = hashlib.sha256(BODY).hexdigest()
    fails(DataError, tmp_path, url, f"{found}, not {'0' * 64}", lambda: get(url, tmp_path, sha256="0" * 64))
    assert (tmp_path / "x").read_text() == "old"


def test_redirects_lead_to_the_web_alone(server: Server, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    target = server.add(good())
    get(server.add(status(302, Location=target), "/moved"), tmp_path)
    assert (tmp_path / "x").read_bytes() == BODY
    for number, place in enumerate((secret.as_uri(), "ftp://127.0.0.1/x", "data:,x", "/circle", "//[")):
        path = place if place == "/circle" else f"/{number}"
        url = server.add(status(301, Location=place), path)
        kind, about = (MissingError, "") if place == "//[" else (DataError, "HTTP 301")
        fails(kind, tmp_path, url, about, lambda url=url: get(url, tmp_path))


def test_the_body_of_a_redirect_is_not_awaited(server: Server, tmp_path: Path) -> None:
    target = server.add(good())

    def route(handler: Handler, before: int) -> None:
        handler.start(302, Location=target, Content_Length=10)
        handler.wfile.flush()
        handler.server.over.wait()

    get(server.add(route, "/moved"), tmp_path, timeout=1, attempts=1)
    assert (tmp_path / "x").read_bytes() == BODY


@pytest.mark.parametrize(
    "url", ["file:///etc/hosts", "ftp://host/x", "http://", "movies", "", "http://host/a b", "http://host/a\n"]
)
def test_other_addresses_are_refused(tmp_path: Path, url: str) -> None:
    fails(UsageError, tmp_path, repr(url), "http or https", lambda: get(url, tmp_path))


@pytest.mark.parametrize(
    "url", ["http://host:port/", "http://[::1/", "http://127.0.0.1:1/é", "http://127.0.0.1:1/\x7f"]
)
def test_addresses_that_cannot_be_asked(tmp_path: Path, url: str) -> None:
    with pytest.raises(MissingError, match="check the address"):
        get(url, tmp_path)
    assert not left(tmp_path)


def test_a_full_disk_is_not_called_a_network_failure(server: Server, tmp_path: Path) -> None:
    def full(done: int, total: int | None) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(OSError, match="No space"):
        get(server.add(good()), tmp_path, report=full)
    assert len(server.asked) == 1


Entries = dict[str, bytes]
FILES: Entries = {"movies/docs/a.txt": b"a film .\n", "movies/train.jsonl": b"{}\n" * 30_000}


def tar(entries: Entries | list[tarfile.TarInfo], packed: bool = True) -> bytes:
    """A tar archive of files with content, or of entries without."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:") as archive:
        for entry in entries:
            info = tarfile.TarInfo(entry) if isinstance(entry, str) else entry
            content = entries[entry] if isinstance(entries, dict) else b"x" * info.size
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return gzip.compress(file.getvalue(), 1) if packed else file.getvalue()


def entry(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.size, info.mode = kind, link, size, 0
    return info


def zipped(*entries: tuple[str | zipfile.ZipInfo, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    file = io.BytesIO()
    with pytest.MonkeyPatch.context() as patch, zipfile.ZipFile(file, "w", method) as archive:
        patch.setattr("warnings.warn", lambda *_, **__: None)  # a name that is there twice
        for name, content in entries:
            archive.writestr(name, content)
    return file.getvalue()


def item(name: str, mode: int = 0) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("x")
    info.filename = name
    info.external_attr = mode << 16
    return info


PACKED = {
    "tar.gz": tar(FILES),
    "tar": tar(FILES, packed=False),
    "zip": zipped(*FILES.items()),
}


def open_up(content: bytes, folder: Path, **options: object) -> Path:
    """Unpack ``content`` and return the new folder, beside which nothing may lie but the archive."""
    archive = folder / "archive"
    archive.write_bytes(content)
    unpack(archive, folder / "new", **{"max_bytes": MANY} | options)
    assert sorted(path.name for path in folder.iterdir()) == ["archive", "new"]
    return folder / "new"


def rejects(content: bytes, folder: Path, about: str = "", **options: object) -> None:
    """Unpacking ``content`` fails with a DataError and leaves nothing, neither in ``folder`` nor above it."""
    place = folder / "a" / "b"
    place.mkdir(parents=True, exist_ok=True)
    (place / "archive").touch()
    fails(DataError, folder, str(place / "archive"), about, lambda: open_up(content, place, **options))


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_the_only_top_folder_becomes_the_folder(tmp_path: Path, content: bytes) -> None:
    folder = open_up(content, tmp_path, max_bytes=90_009, max_files=4)
    assert left(folder) == ["docs", "docs/a.txt", "train.jsonl"]
    assert (folder / "train.jsonl").read_bytes() == FILES["movies/train.jsonl"]


@pytest.mark.parametrize("content", PACKED.values(), ids=PACKED)
def test_bytes_and_files_are_counted(tmp_path: Path, content: bytes) -> None:
    rejects(content, tmp_path, "more bytes than allowed", max_bytes=90_008)
    rejects(content, tmp_path, "more than the 3 files", max_files=3)


def test_several_things_at_the_top_stay_where_they_are(tmp_path: Path) -> None:
    folder = entry("./", tarfile.DIRTYPE)
    content = tar([folder, entry("./a/b"), entry("./c/d"), entry("./a", tarfile.DIRTYPE)])
    assert left(open_up(content, tmp_path)) == ["a", "a/b", "c", "c/d"]


def test_a_single_file_stays_in_the_folder(tmp_path: Path) -> None:
    assert left(open_up(zipped(("a", b"1")), tmp_path)) == ["a"]


def test_what_macos_adds_is_left_out(tmp_path: Path) -> None:
    names = ["._movies", "movies/a", "movies/._a", "movies/.DS_Store", "__MACOSX/movies/._a", ".DS_Store"]
    content = tar(dict.fromkeys(names, b"12"))
    assert left(open_up(content, tmp_path, max_bytes=12)) == ["a"]
    rejects(content, tmp_path / "other", "more bytes", max_bytes=11)


@pytest.mark.parametrize(
    "content",
    [
        tar([entry("a", tarfile.DIRTYPE), entry("a/b")]),
        zipped((item("a/", 0o40000), b""), (item("a/b", 0o104777), b"")),
    ],
    ids=["tar", "zip"],
)
def test_modes_are_not_taken_over(tmp_path: Path, content: bytes) -> None:
    folder = open_up(content, tmp_path)
    (tmp_path / "usual").mkdir()
    (tmp_path / "usual" / "b").touch()
    for name in (".", "b"):
        assert (folder / name).stat().st_mode == (tmp_path / "usual" / name).stat().st_mode


NAMES = [
    *("../x", "a/../../../x", "a/../b", "..", "a/..", "/tmp/x", "//x", "a\\b", "..\\x", "C:/x", "C:x", "a/d:x"),
    *("a\x1b[31m", "a\nb", "a/" * 40 + "x", "long" * 80),
]


@pytest.mark.parametrize("name", NAMES)
def test_unsafe_names_are_refused(tmp_path: Path, name: str) -> None:
    rejects(tar([entry("a1"), entry(name)]), tmp_path)
    rejects(tar([entry("a1"), entry(name, tarfile.DIRTYPE)]), tmp_path)
    rejects(zipped(("a1", b""), (item(name), b"1")), tmp_path)


def test_a_name_that_ends_early_is_refused(tmp_path: Path) -> None:
    content = zipped(("a.py#.txt", b"1"))
    rejects(content.replace(b"#", b"\0"), tmp_path, "unsafe")


@pytest.mark.parametrize(
    "bad",
    [
        entry("x", tarfile.SYMTYPE, "/etc/hosts"),
        entry("x", tarfile.SYMTYPE, "a"),
        entry("x", tarfile.LNKTYPE, "a"),
        entry("x", tarfile.LNKTYPE, "/etc/hosts"),
        entry("x", tarfile.FIFOTYPE),
        entry("x", tarfile.CHRTYPE),
        entry("x", tarfile.BLKTYPE),
        entry("x", tarfile.GNUTYPE_SPARSE),
        entry("x", b"?"),
    ],
    ids=lambda info: f"{info.type.decode()}-{info.linkname}",
)
def test_only_plain_files_are_taken(tmp_path: Path, bad: tarfile.TarInfo) -> None:
    rejects(tar([entry("a"), bad]), tmp_path, "'x' is a link")


def test_only_plain_files_are_taken_from_zip(tmp_path: Path) -> None:
    for mode in (0o120777, 0o010644, 0o020644):
        rejects(zipped((item("x", mode), b"/etc/hosts")), tmp_path, "'x' is a link")
    for method in (zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA):
        rejects(zipped(("x", b"1"), method=method), tmp_path, "'x' is a link")


def test_no_path_is_there_twice(tmp_path: Path) -> None:
    for first, second in (("a", "a"), ("a/b", "a/./b"), ("a/b", "a//b")):
        rejects(tar([entry(first), entry(second)]), tmp_path, "twice")
        rejects(zipped((first, b"1"), (second, b"2")), tmp_path, "twice")
    for first, second in (("a", "a/b"), ("a/b", "a")):
        rejects(tar([entry(first), entry(second)]), tmp_path)
    rejects(tar([entry("a", tarfile.DIRTYPE)] * 2), tmp_path, "twice")


def test_folders_count_as_files(tmp_path: Path) -> None:
    content = tar([entry(f"{number}/a/b/c/d") for number in range(10)])
    rejects(content, tmp_path, "more than the 49 files", max_files=49)
    (tmp_path / "c").mkdir()
    open_up(content, tmp_path / "c", max_files=50)


def test_bombs_are_not_unpacked(tmp_path: Path) -> None:
    big = 5 * MANY
    for content in (tar({"x": b"\0" * big}), zipped(("x", b"\0" * big)), tar({"._x": b"\0" * big})):
        assert len(content) < big / 50
        start = time.process_time()
        rejects(content, tmp_path, "more bytes than allowed")
        assert time.process_time() - start < 1


def test_a_header_that_lies_does_not_help_a_bomb(tmp_path: Path) -> None:
    content = zipped(("x", b"\0" * 10_000))
    at = content.rindex(b"PK\x01\x02") + 24
    assert content[at : at + 4] == (10_000).to_bytes(4, "little")
    rejects(content[:at] + (10).to_bytes(4, "little") + content[at + 4 :], tmp_path, max_bytes=100)
    file = io.BytesIO(b"\0" * 10_000)
    with pytest.raises(ValueError, match="more bytes"):
        fetch._extract(iter([("x", False, 10, file)]), tmp_path, 100, 5)
    assert (tmp_path / "x").stat().st_size <= 100


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME, b"?"], ids=bytes.decode)
def test_no_header_fills_the_memory(tmp_path: Path, kind: bytes) -> None:
    content = entry("x", kind, size=8 * MANY).tobuf(tarfile.GNU_FORMAT) + b"\0" * 8 * MANY
    content = gzip.compress(tar([entry("a")], packed=False)[:512] + content, 1)
    tracemalloc.start()
    try:
        rejects(content, tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 2 * MANY
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("kind", [tarfile.REGTYPE, tarfile.XHDTYPE, tarfile.GNUTYPE_LONGNAME], ids=bytes.decode)
def test_a_negative_size_is_no_way_back(tmp_path: Path, kind: bytes) -> None:
    header = bytearray(entry("._x", kind).tobuf(tarfile.GNU_FORMAT))
    header[124:136] = (-1024).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content = tar([entry("a")], packed=False)[:512] + bytes(header) + b"\0" * 1024
    rejects(content, tmp_path, "more bytes than allowed" if kind == tarfile.REGTYPE else "too much between")


def test_damage_is_noticed_wherever_it_is(tmp_path: Path) -> None:
    content = PACKED["tar"]
    start = content.index(b"movies/train")
    end = start + 512 + 90_112
    assert content[end - 1 - 112] and not any(content[end:])
    for cut in (1, 511, 512, 513, start, start + 100, start + 512, start + 600, end - 112, end, end + 511):
        rejects(content[:cut], tmp_path)
    for place in (5, start + 5):
        rejects(content[:place] + b"#" + content[place + 1 :], tmp_path)
    empty = tar([entry("first"), entry("last")], packed=False)
    rejects(empty.replace(b"last", b"lost"), tmp_path, "damaged")
    rejects(content + b"more", tmp_path, "followed")
    rejects(content + b"\0" * 2 * MANY, tmp_path, "followed")
    for content in (PACKED["tar.gz"], PACKED["zip"]):
        for cut in (1, 3, 30, len(content) // 2, len(content) - 9, len(content) - 1):
            rejects(content[:cut], tmp_path)
    crc = len(PACKED["tar.gz"]) - 6
    rejects(PACKED["tar.gz"][:crc] + b"????" + PACKED["tar.gz"][crc + 4 :], tmp_path, "CRC")
    rejects(PACKED["tar.gz"] + b"more", tmp_path)


def test_what_is_no_archive_or_holds_nothing(tmp_path: Path) -> None:
    for content in (b"", b"<html>not found</html>" * 100, b"PK", b"PK\x03\x04" + BODY, b"\x1f\x8b" + BODY, BODY):
        rejects(content, tmp_path, "cannot be unpacked")
    for content in (tar([]), zipped(), tar([entry("a/b", tarfile.DIRTYPE)]), tar([entry("._a")]), gzip.compress(b"")):
        rejects(content, tmp_path, "cannot be unpacked")


def test_an_encrypted_zip_is_refused(tmp_path: Path) -> None:
    content = bytearray(zipped(("x", b"1")))
    content[6] |= 1
    content[content.index(b"PK\x01\x02") + 8] |= 1
    rejects(bytes(content), tmp_path, "encrypted")


def test_what_is_there_stays(tmp_path: Path) -> None:
    (tmp_path / "new").mkdir()
    archive = tmp_path / "archive"
    archive.write_bytes(PACKED["tar"])
    fails(UsageError, tmp_path, str(tmp_path / "new"), "remove it", lambda: open_up(PACKED["tar"], tmp_path))
    archive.write_bytes(b"damaged")
    fails(UsageError, tmp_path, str(tmp_path / "new"), "remove it", lambda: open_up(b"damaged", tmp_path))
    (tmp_path / "link").symlink_to("nowhere")
    fails(UsageError, tmp_path, "link", "remove it", lambda: unpack(archive, tmp_path / "link", max_bytes=MANY))
    fails(
        MissingError, tmp_path, "none", "no such file", lambda: unpack(tmp_path / "none", tmp_path / "b", max_bytes=1)
    )


def test_what_came_meanwhile_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fetch, "write_json", lambda *_: (tmp_path / "new" / "mine").mkdir(parents=True))
    with pytest.raises(UsageError, match="remove it"):
        open_up(PACKED["tar"], tmp_path, note={"url": "http://x"})
    assert left(tmp_path) == ["archive", "new", "new/mine"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt(), OSError(errno.ENOSPC, "No space left on device")], ids=repr)
def test_faults_of_this_machine_pass_and_leave_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fault: BaseException
) -> None:
    def fail(path: Path, value: object) -> None:
        assert path.parent.joinpath("train.jsonl").is_file()
        raise fault

    monkeypatch.setattr(fetch, "write_json", fail)
    with pytest.raises(type(fault)):
        open_up(PACKED["tar"], tmp_path, note={"url": "http://x"})
    assert left(tmp_path) == ["archive"]


@pytest.mark.parametrize("pinned", [False, True])
def test_an_archive_is_fetched_with_a_note(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, pinned: bool
) -> None:
    appeared = []
    rename = fetch.os.rename
    monkeypatch.setattr(fetch.os, "rename", lambda a, b: (appeared.append(left(a)), rename(a, b)))
    content = PACKED["tar.gz"]
    sha256 = hashlib.sha256(content).hexdigest()
    url = server.add(good(content, cuts=1))
    calls: list[tuple[int, int | None]] = []
    folder = tmp_path / "data" / "movies"
    note = fetch_archive(url, folder, sha256=sha256 if pinned else None, report=lambda *call: calls.append(call))
    assert left(tmp_path / "data") == [
        *("movies", "movies/docs", "movies/docs/a.txt", "movies/fetched.json", "movies/train.jsonl")
    ]
    assert appeared == [["docs", "docs/a.txt", "fetched.json", "train.jsonl"]]
    assert json.loads((folder / "fetched.json").read_text()) == note
    moment = note.pop("time")
    assert note == {"url": url, "sha256": sha256, "bytes": len(content), "pinned": pinned}
    assert isinstance(moment, str) and abs(time.time() - fetch.datetime.fromisoformat(moment).timestamp()) < 100
    assert moment.endswith("+00:00") and calls[-1] == (len(content), len(content))
    server.asked.clear()
    fails(UsageError, tmp_path, str(folder), "remove it", lambda: fetch_archive(url, folder, sha256=None))
    assert not server.asked


def test_failed_fetches_leave_nothing(server: Server, tmp_path: Path) -> None:
    folder = tmp_path / "movies"
    content = PACKED["tar.gz"]
    evil = tar([entry("../x")])
    clash = tar([entry("fetched.json/a"), entry("b")])
    cases: list[tuple[Route, type[UserError], str, dict[str, object]]] = [
        (status(404), MissingError, "404", {}),
        (good(content), DataError, "SHA-256", {"sha256": "0" * 64}),
        (good(content), DataError, "allowed", {"max_bytes": len(content) - 1}),
        (good(content), DataError, "more bytes than allowed", {"max_bytes": 90_008}),
        (good(content[:-50]), DataError, "cannot be unpacked", {}),
        (good(evil), DataError, "unsafe", {"sha256": hashlib.sha256(evil).hexdigest()}),
        (good(clash), DataError, "directory", {}),
    ]
    for number, (route, kind, about, options) in enumerate(cases):
        url = server.add(route, f"/{number}")
        fetched = partial(fetch_archive, url, folder, **{"sha256": None} | options)
        fails(kind, tmp_path, url, about, fetched)


def test_an_interrupted_fetch_goes_on(server: Server, tmp_path: Path) -> None:
    def interrupt(done: int, total: int | None) -> None:
        if done:
            raise KeyboardInterrupt

    folder, content = tmp_path / "movies", tar({"a": BODY})
    url = server.add(good(content))
    with pytest.raises(KeyboardInterrupt):
        fetch_archive(url, folder, sha256=None, report=interrupt)
    assert left(tmp_path) == ["movies.download", "movies.download/archive.part", "movies.download/archive.part.json"]
    fetch_archive(url, folder, sha256=None)
    assert server.ranges()[1] is not None and left(tmp_path) == ["movies", "movies/a", "movies/fetched.json"]


def test_two_cannot_fetch_the_same(server: Server, tmp_path: Path) -> None:
    url = server.add(good(PACKED["tar.gz"]))
    folder = tmp_path / "movies"
    again: list[str] = []

    def meanwhile(done: int, total: int | None) -> None:
        with pytest.raises(UsageError, match="another process") as caught:
            fetch_archive(url, folder, sha256=None)
        again.append(str(caught.value))

    fetch_archive(url, folder, sha256=None, report=meanwhile)
    assert again and str(folder) in again[0] and len(server.asked) == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["movies"]

"""What file managers' plug-ins ask parsecd: one connection, a cache, and nothing that waits.

Decides what is asked, when, and how long a menu may take (50 ms, then there is none). Everything runs
in the file manager's own loop, without a thread; a daemon that is stopped, hangs, or talks nonsense
costs a connection and never an exception. Nothing that the daemon says is taken for markup, for a
shell's words, or for a program other than parsecctl. Standard library only, and no toolkit: whoever
uses it hands over a loop (parsec_gi.py has GLib's).
"""

from __future__ import annotations

import errno
import json
import os
import re
import select
import shutil
import socket
import stat
import subprocess
import time
import unicodedata
from collections import OrderedDict
from typing import Any, Callable, Iterable, NamedTuple, Protocol
from urllib.parse import quote_from_bytes, unquote_to_bytes

API = "2.0"
CLIENT = "parsec-file-manager/1"
# What a person notices of a menu that waits.
MENU_SECONDS = 0.05
# As many as the daemon takes at once, and a line has room for with the longest paths of a usual kind.
PATHS_MAX = 500
BATCH_BYTES_MAX = 512 * 1024
LINE_MAX = 1024 * 1024
# Files whose state is known: those of some large windows. The ones asked for last stay.
CACHE_MAX = 20_000
# Files that wait to be asked for: the folder of 100,000 that somebody scrolls through.
WANTED_MAX = 120_000
# Files of nobody that are asked for again when a safe is mounted where they are.
MISSED_MAX = 2_000
# Questions gather for a moment, so that a folder is one question and not hundreds.
GATHER_SECONDS = 0.01
# Events come in crowds: a folder that is copied in is one look again, not a thousand.
AGAIN_SECONDS = 0.2
# Between two batches, so that somebody scrolling gets their turn.
BATCH_PAUSE_SECONDS = 0.02
# Longest that an answer may take before the daemon counts as gone.
ANSWER_SECONDS = 10.0
PAUSE_FIRST_SECONDS = 1.0
PAUSE_LONGEST_SECONDS = 30.0
# After the daemon said that its token asks too often.
RATE_PAUSE_SECONDS = 10.0
TOKEN_FILE_MAX_BYTES = 1024
LABEL_MAX = 80
COMMAND_WORDS_MAX = 16

METHODS = ("fm.status", "fm.menu", "fm.invoke", "events.watch")
# Kinds of items, and events by the beginning of their type, after which files may stand otherwise.
LOOK_AGAIN_KINDS = ("snapshot", "gap")
LOOK_AGAIN_EVENTS = ("safe_", "device_", "file_", "alarm")


def escape(path: bytes) -> str:
    """A path as the local API writes it: UTF-8 as itself, any other byte as \\xNN, a backslash twice."""
    text = path.decode("utf-8", "surrogateescape").replace("\\", "\\\\")
    return re.sub("[\udc80-\udcff]", lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", text)


def unescape(text: str) -> bytes:
    """The way back; what is no escape stays as it is."""
    def byte(found: re.Match[bytes]) -> bytes:
        return b"\\" if found[0] == b"\\\\" else bytes([int(found[0][2:], 16)])

    return re.sub(rb"\\\\|\\x[0-9a-fA-F]{2}", byte, text.encode("utf-8", "surrogateescape"))


def path_of(uri: str) -> bytes | None:
    """The path that a URI names on this machine, byte for byte; nothing where it names none."""
    if not uri.startswith("file:///"):
        return None
    path = unquote_to_bytes(uri[len("file://"):])
    return None if b"\0" in path else path


def uri_of(path: bytes) -> str:
    return "file://" + quote_from_bytes(path)


def plain(text: Any) -> str:
    """A word of the daemon's for a person: one line, nothing that turns or hides what is beside it."""
    if not isinstance(text, str):
        return ""
    hidden = ("Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp")
    return "".join(c for c in text[:4 * LABEL_MAX] if unicodedata.category(c) not in hidden)[:LABEL_MAX].strip()


class State(NamedTuple):
    """How a file stands."""

    state: str
    marks: tuple[str, ...]
    words: str


class Line(NamedTuple):
    """One line of a menu."""

    id: str
    label: str
    enabled: bool


def read_state(item: Any) -> State | None:
    if not isinstance(item, dict) or not isinstance(item.get("state"), str):
        return None
    marks = item.get("marks")
    marks = tuple(m for m in marks if isinstance(m, str)) if isinstance(marks, list) else ()
    return State(item["state"], marks, plain(item.get("words")))


def read_menu(result: Any) -> list[Line]:
    items = result.get("items") if isinstance(result, dict) else None
    lines = []
    for item in items[:32] if isinstance(items, list) else []:
        if isinstance(item, dict) and isinstance(item.get("id"), str) and plain(item.get("label")):
            lines.append(Line(item["id"], plain(item["label"]), item.get("enabled") is True))
    return lines


def command_of(result: Any) -> list[str] | None:
    """The program that shows a person something: parsecctl and its arguments, or nothing."""
    words = result.get("command") if isinstance(result, dict) else None
    if not isinstance(words, list) or not 2 <= len(words) <= COMMAND_WORDS_MAX:
        return None
    sound = all(isinstance(word, str) and "\0" not in word and len(word) <= LINE_MAX for word in words)
    return words if sound and words[0] == "parsecctl" else None


def in_terminal(command: list[str], holder: str) -> list[str] | None:
    """The command in the desktop's terminal, as a list: no shell ever reads it."""
    if terminal := shutil.which("xdg-terminal-exec"):
        return [terminal, holder, *command]
    if terminal := shutil.which("x-terminal-emulator"):
        return [terminal, "-e", holder, *command]
    return None


def socket_path() -> str:
    runtime = os.environ.get("XDG_RUNTIME_DIR") or f"/run/user/{os.getuid()}"
    return os.environ.get("PARSEC_PLUGIN_SOCKET") or f"{runtime}/parsecd/plugin.sock"


def token_path() -> str:
    config = os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")
    return os.environ.get("PARSEC_FM_TOKEN") or f"{config}/parsec-file-manager.token"


def read_token(path: str) -> str | None:
    """A token that is the user's alone to read; nothing otherwise."""
    try:
        file = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
    except OSError:
        return None
    try:
        found = os.fstat(file)
        mine = stat.S_ISREG(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077
        text = os.read(file, TOKEN_FILE_MAX_BYTES + 1) if mine else b""
    except OSError:
        return None
    finally:
        os.close(file)
    if not text or len(text) > TOKEN_FILE_MAX_BYTES:
        return None
    return text.decode("ascii", "replace").strip() or None


class Loop(Protocol):
    """What a toolkit's loop has to do. A handle is whatever `stop` takes."""

    def watch(self, fd: int, ready: Callable[[], None], writing: bool) -> Any: ...
    def later(self, seconds: float, call: Callable[[], None]) -> Any: ...
    def stop(self, handle: Any) -> None: ...


class _Asked(NamedTuple):
    answered: Callable[[Any, Any], None]
    until: float


class Client:
    """One connection to the daemon for a whole file manager."""

    def __init__(self, loop: Loop, changed: Callable[[bytes], None], at: str | None = None, token: str | None = None) -> None:
        self.loop, self.changed = loop, changed
        self.at, self.token_file = at or socket_path(), token or token_path()
        self.socket: socket.socket | None = None
        self.ready = False
        self.silent = False
        self.folders: list[bytes] = []
        self.known: OrderedDict[bytes, State | None] = OrderedDict()
        self._wanted: OrderedDict[bytes, None] = OrderedDict()
        self._missed: OrderedDict[bytes, None] = OrderedDict()
        self._asked: dict[int, _Asked] = {}
        self._last = 0
        self._in, self._out = bytearray(), bytearray()
        self._reading: Any = None
        self._writing: Any = None
        self._timers: dict[str, Any] = {}
        self._pause = PAUSE_FIRST_SECONDS
        self._tried = -PAUSE_LONGEST_SECONDS
        self._refused: tuple[int, int] | None = None
        self._asking = False
        self._again = False

    # What a plug-in calls. None of it waits, but for a menu.

    def state(self, path: bytes) -> State | None:
        """How a file stands, as far as it is known; `changed` says when there is more to know."""
        self._need()
        if self.ready and not self._ours(path):
            # Its folder may be mounted this very moment.
            self._missed[path] = None
            if len(self._missed) > MISSED_MAX:
                self._missed.popitem(last=False)
            return None
        if path in self.known:
            self.known.move_to_end(path)
            return self.known[path]
        self._want(path)
        return None

    def menu(self, paths: list[bytes]) -> list[Line]:
        """The lines for what is selected: within 50 ms, or none."""
        self._need()
        if not self.ready or self.silent or not 1 <= len(paths) <= PATHS_MAX:
            return []
        if not all(self._ours(path) for path in paths):
            return []
        answer: list[Any] = []
        if not self._ask("fm.menu", {"paths": [escape(path) for path in paths]}, lambda result, _: answer.append(result)):
            return []
        until = time.monotonic() + MENU_SECONDS
        while not answer and self.socket is not None:
            left = until - time.monotonic()
            if left <= 0:
                # Until it says something again, no menu waits for it.
                self.silent = True
                return []
            poll = select.poll()
            poll.register(self.socket, select.POLLIN | (select.POLLOUT if self._out else 0))
            try:
                events = poll.poll(max(1, int(left * 1000)))
            except OSError:
                return []
            for _, event in events:
                if event & select.POLLOUT:
                    self._write()
                if event & ~select.POLLOUT:
                    self._read()
        return read_menu(answer[0]) if answer else []

    def invoke(self, id: str, paths: list[bytes], done: Callable[[Any], None]) -> None:
        """Does what a line says; `done` gets the answer, or nothing. Not if the menu is an old one."""
        def answered(result: Any, _: Any) -> None:
            done(result)
            self._look_again()

        if not self.ready or not self._ask("fm.invoke", {"id": id, "paths": [escape(path) for path in paths]}, answered):
            done(None)

    def close(self) -> None:
        """Ends everything."""
        self._drop()
        for timer in self._timers.values():
            self.loop.stop(timer)
        self._timers.clear()

    # The connection.

    def _need(self) -> None:
        """A connection is wanted: tried again no sooner than a second after the last time."""
        if self.socket is None and time.monotonic() - self._tried >= self._pause:
            self._connect()

    def _connect(self) -> None:
        self._tried = time.monotonic()
        token = read_token(self.token_file)
        if token is None or self._token_stamp() == self._refused:
            return self._retry()
        made = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC)
        try:
            made.connect(self.at)
        except OSError:
            made.close()
            return self._retry()
        self.socket, self.silent = made, False
        self._reading = self.loop.watch(made.fileno(), self._read, False)
        self._ask("rpc.hello", {"client": CLIENT, "api": API, "token": token}, self._greeted)

    def _token_stamp(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.token_file)
        except OSError:
            return None
        return (found.st_ino, found.st_mtime_ns)

    def _greeted(self, result: Any, error: Any) -> None:
        if not isinstance(result, dict):
            if error in ("token_invalid", "token_expired", "api_mismatch"):
                # Asking again with the same one tells nothing new.
                self._refused = self._token_stamp()
            return self._lost()
        self._pause = PAUSE_FIRST_SECONDS
        self._ask("events.watch", {}, lambda result, error: None)
        # Which folders are ours comes before everything else.
        self._ask("fm.status", {"paths": []}, self._first)

    def _first(self, result: Any, error: Any) -> None:
        if not isinstance(result, dict):
            return self._lost() if error != "rate_limited" else self._timer("first", RATE_PAUSE_SECONDS, self._lost)
        self.ready = True
        self._take_folders(result)
        for path in [path for path in self._wanted if not self._ours(path)]:
            del self._wanted[path]
        self._look_again()
        self._timer("gather", GATHER_SECONDS, self._ask_states)

    def _take_folders(self, result: dict[str, Any]) -> None:
        folders = result.get("folders")
        now = [unescape(text) for text in folders if isinstance(text, str)] if isinstance(folders, list) else []
        # One that was ours is asked about still: its device may be locked.
        self.folders = (now + [folder for folder in self.folders if folder not in now])[:64]

    def _ours(self, path: bytes) -> bool:
        return any(path == folder or path.startswith(folder + b"/") for folder in self.folders)

    def _retry(self) -> None:
        self._timer("retry", self._pause, self._connect_if_needed)
        self._pause = min(2 * self._pause, PAUSE_LONGEST_SECONDS)

    def _connect_if_needed(self) -> None:
        if self.socket is None:
            self._connect()

    def _lost(self) -> None:
        """The connection is no more: what was shown is not known any longer."""
        self._drop()
        shown = [path for path, state in self.known.items() if state is not None]
        for path in self.known:
            self._want(path)
        self.known.clear()
        for path in shown:
            self._tell(path)
        self._retry()

    def _drop(self) -> None:
        for handle in (self._reading, self._writing):
            if handle is not None:
                self.loop.stop(handle)
        self._reading = self._writing = None
        if self.socket is not None:
            self.socket.close()
        self.socket, self.ready, self._asking = None, False, False
        self._in.clear()
        self._out.clear()
        asked, self._asked = self._asked, {}
        for one in asked.values():
            self._guard(one.answered, None, "gone")

    def _timer(self, name: str, seconds: float, call: Callable[[], None]) -> None:
        """One timer of each name; one that runs already stays."""
        if name in self._timers:
            return

        def run() -> None:
            self._timers.pop(name, None)
            self._guard(call)

        self._timers[name] = self.loop.later(seconds, run)

    @staticmethod
    def _guard(call: Callable[..., None], *arguments: Any) -> None:
        """Nothing of ours ends a file manager."""
        try:
            call(*arguments)
        except Exception:  # noqa: BLE001
            pass

    def _tell(self, path: bytes) -> None:
        self._guard(self.changed, path)

    def _ask(self, method: str, params: dict[str, Any], answered: Callable[[Any, Any], None]) -> bool:
        if self.socket is None:
            return False
        self._last += 1
        line = json.dumps({"jsonrpc": "2.0", "id": self._last, "method": method, "params": params}).encode() + b"\n"
        if len(line) > LINE_MAX or len(self._out) + len(line) > 2 * LINE_MAX:
            return False
        self._asked[self._last] = _Asked(answered, time.monotonic() + ANSWER_SECONDS)
        self._out += line
        self._timer("patience", ANSWER_SECONDS, self._patience)
        self._write()
        return self.socket is not None

    def _patience(self) -> None:
        """A daemon that does not answer is left, and tried again later."""
        if any(one.until <= time.monotonic() for one in self._asked.values()):
            self._lost()
        elif self._asked:
            self._timer("patience", ANSWER_SECONDS, self._patience)

    def _write(self) -> None:
        if self.socket is None:
            return
        try:
            while self._out:
                sent = self.socket.send(self._out)
                del self._out[:sent]
        except OSError as error:
            if error.errno not in (errno.EAGAIN, errno.EINTR):
                return self._lost()
        if self._writing is not None and not self._out:
            self.loop.stop(self._writing)
            self._writing = None
        elif self._writing is None and self._out:
            self._writing = self.loop.watch(self.socket.fileno(), self._write, True)

    def _read(self) -> None:
        if self.socket is None:
            return
        try:
            read = self.socket.recv(256 * 1024)
        except OSError as error:
            return None if error.errno in (errno.EAGAIN, errno.EINTR) else self._lost()
        if not read:
            return self._lost()
        self.silent = False
        # What is left of earlier reads has no end of a line in it.
        begin = len(self._in)
        self._in += read
        while (end := self._in.find(b"\n", begin)) >= 0:
            line = bytes(self._in[:end])
            del self._in[:end + 1]
            begin = 0
            self._guard(self._take, line)
            if self.socket is None:
                return
        if len(self._in) > 4 * LINE_MAX:
            self._lost()

    def _take(self, line: bytes) -> None:
        said = json.loads(line)
        if not isinstance(said, dict):
            return
        if said.get("method") == "events.item":
            params = said.get("params")
            self._heard(params.get("result") if isinstance(params, dict) else None)
            return
        one = self._asked.pop(said.get("id"), None) if isinstance(said.get("id"), int) else None
        if one is None:
            return
        error = said.get("error")
        data = error.get("data") if isinstance(error, dict) else None
        name = data.get("name") if isinstance(data, dict) else ("internal" if error is not None else None)
        self._guard(one.answered, said.get("result") if error is None else None, name)

    def _heard(self, item: Any) -> None:
        if not isinstance(item, dict):
            return
        event = item.get("event")
        kind = event.get("type") if isinstance(event, dict) else None
        if item.get("kind") in LOOK_AGAIN_KINDS or (isinstance(kind, str) and kind.startswith(LOOK_AGAIN_EVENTS)):
            self._look_again()

    # States.

    def _want(self, path: bytes) -> None:
        self._wanted[path] = None
        self._wanted.move_to_end(path)
        if len(self._wanted) > WANTED_MAX:
            self._wanted.popitem(last=False)
        self._timer("gather", GATHER_SECONDS, self._ask_states)

    def _look_again(self) -> None:
        """Everything that is known may be otherwise."""
        self._again = True
        self._timer("again", AGAIN_SECONDS, self._want_again)

    def _want_again(self) -> None:
        if not self._again:
            return
        self._again = False
        for path in self.known:
            self._want(path)
        # Where nothing is known yet, folders may be new.
        self._timer("gather", GATHER_SECONDS, self._ask_states)

    def _ask_states(self) -> None:
        if not self.ready or self._asking:
            return
        batch: list[bytes] = []
        size = 0
        while self._wanted and len(batch) < PATHS_MAX and size < BATCH_BYTES_MAX:
            # The newest first: what somebody looks at now.
            path, _ = self._wanted.popitem()
            if len(path) <= 4096:
                batch.append(path)
                size += 4 * len(path)
        self._asking = self._ask(
            "fm.status", {"paths": [escape(path) for path in batch]}, lambda result, error: self._told(batch, result, error)
        )

    def _told(self, batch: list[bytes], result: Any, error: Any) -> None:
        self._asking = False
        items = result.get("items") if isinstance(result, dict) else None
        if not isinstance(items, list) or len(items) != len(batch):
            for path in batch:
                self._wanted[path] = None
            if self.ready:
                pause = RATE_PAUSE_SECONDS if error == "rate_limited" else PAUSE_FIRST_SECONDS
                self._timer("gather", pause, self._ask_states)
            return
        before = set(self.folders)
        self._take_folders(result)
        for path, item in zip(batch, items):
            state = read_state(item)
            if state is None and not self._ours(path):
                self.known.pop(path, None)
                continue
            was = self.known.get(path)
            self.known[path] = state
            self.known.move_to_end(path)
            if state != was:
                self._tell(path)
        while len(self.known) > CACHE_MAX:
            self.known.popitem(last=False)
        if set(self.folders) - before:
            # A safe was mounted just now.
            for path in [path for path in self._missed if self._ours(path)]:
                del self._missed[path]
                self._tell(path)
        if self._wanted:
            self._timer("gather", BATCH_PAUSE_SECONDS, self._ask_states)


class SelectLoop:
    """A loop for tests and programs without a toolkit."""

    def __init__(self) -> None:
        self.fds: dict[int, tuple[int, Callable[[], None], bool]] = {}
        self.timers: dict[int, tuple[float, Callable[[], None]]] = {}
        self.last = 0

    def watch(self, fd: int, ready: Callable[[], None], writing: bool) -> int:
        self.last += 1
        self.fds[self.last] = (fd, ready, writing)
        return self.last

    def later(self, seconds: float, call: Callable[[], None]) -> int:
        self.last += 1
        self.timers[self.last] = (time.monotonic() + seconds, call)
        return self.last

    def stop(self, handle: int) -> None:
        self.fds.pop(handle, None)
        self.timers.pop(handle, None)

    def run(self, until: Callable[[], bool], seconds: float) -> bool:
        """Runs until something is true; whether it came to be."""
        end = time.monotonic() + seconds
        while not until():
            if time.monotonic() >= end:
                return False
            self.turn(end)
        return True

    def turn(self, end: float) -> None:
        now = time.monotonic()
        for handle, (at, call) in list(self.timers.items()):
            if at <= now and self.timers.pop(handle, None):
                call()
        soonest = min([end, *(at for at, _ in self.timers.values())])
        reads = [fd for fd, _, writing in self.fds.values() if not writing]
        writes = [fd for fd, _, writing in self.fds.values() if writing]
        readable, writable, _ = select.select(reads, writes, [], max(0.0, min(0.2, soonest - time.monotonic())))
        for handle, (fd, ready, writing) in list(self.fds.items()):
            if handle in self.fds and fd in (writable if writing else readable):
                ready()


_children: list[subprocess.Popen[bytes]] = []


def start(command: Iterable[str]) -> bool:
    """Starts a program beside the file manager; whether it could be."""
    _children[:] = [child for child in _children if child.poll() is None]
    try:
        _children.append(subprocess.Popen(list(command), stdin=subprocess.DEVNULL, start_new_session=True))
    except (OSError, ValueError):
        return False
    return True

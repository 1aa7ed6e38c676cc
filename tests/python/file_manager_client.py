#!/usr/bin/env python3
"""The file managers' client with a daemon that lies, hangs, and goes away: it never waits, and never raises."""

from __future__ import annotations

import json
import os
import socket
import stat
import sys
import tempfile
import time
import types
import unittest
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))

import parsec_fm  # noqa: E402

FOLDER = b"/home/a/Safes/Plans"


class Fake:
    """A daemon in the same loop: answers what `say` says, or nothing at all."""

    def __init__(self, loop: parsec_fm.SelectLoop, at: str) -> None:
        self.loop, self.at, self.requests = loop, at, []
        self.hangs = False
        self.menu: Any = {"items": []}
        self.raw: bytes | None = None
        self.refuses: str | None = None
        self.folders = [FOLDER.decode()]
        self.connections: dict[socket.socket, int] = {}
        self.listener: socket.socket | None = None
        self.start()

    def start(self) -> None:
        self.listener = socket.socket(socket.AF_UNIX)
        self.listener.bind(self.at)
        self.listener.listen()
        self.watching = self.loop.watch(self.listener.fileno(), self.accept, False)

    def stop(self) -> None:
        assert self.listener
        self.loop.stop(self.watching)
        self.listener.close()
        os.unlink(self.at)
        for connection, watching in self.connections.items():
            self.loop.stop(watching)
            connection.close()
        self.connections.clear()

    def accept(self) -> None:
        assert self.listener
        connection, _ = self.listener.accept()
        connection.setblocking(False)
        held = bytearray()

        def read() -> None:
            try:
                data = connection.recv(1 << 20)
            except OSError:
                data = b""
            if not data:
                self.loop.stop(watching)
                self.connections.pop(connection, None)
                connection.close()
                return
            held.extend(data)
            while b"\n" in held:
                line, _, rest = bytes(held).partition(b"\n")
                held[:] = rest
                self.take(connection, json.loads(line))

        watching = self.loop.watch(connection.fileno(), read, False)
        self.connections[connection] = watching

    def take(self, connection: socket.socket, request: dict[str, Any]) -> None:
        self.requests.append(request)
        if self.hangs:
            return
        if self.raw is not None:
            connection.send(self.raw)
            return
        method, params = request["method"], request["params"]
        answer: dict[str, Any] = {"jsonrpc": "2.0", "id": request["id"]}
        if self.refuses:
            answer["error"] = {"code": -32000, "message": "<b>no</b>", "data": {"name": self.refuses}}
        elif method == "fm.status":
            one = {"state": "synced", "marks": [], "words": "Synced"}
            ours = [one if path.startswith(self.folders[0] + "/") else None for path in params["paths"]] if self.folders else [None] * len(params["paths"])
            answer["result"] = {"items": ours, "folders": self.folders, "complete": True}
        elif method == "fm.menu":
            answer["result"] = self.menu
        else:
            answer["result"] = {}
        connection.setblocking(True)
        connection.sendall(json.dumps(answer).encode() + b"\n")
        connection.setblocking(False)

    def event(self, item: Any) -> None:
        for connection in self.connections:
            connection.sendall(json.dumps({"jsonrpc": "2.0", "method": "events.item", "params": {"subscription": 1, "result": item}}).encode() + b"\n")


class Case(unittest.TestCase):
    def setUp(self) -> None:
        self.folder = tempfile.TemporaryDirectory()
        self.token = self.folder.name + "/token"
        Path(self.token).write_text("parsec-token-x\n")
        os.chmod(self.token, 0o600)
        self.loop = parsec_fm.SelectLoop()
        self.daemon = Fake(self.loop, self.folder.name + "/socket")
        self.changed: list[bytes] = []
        self.client = parsec_fm.Client(self.loop, self.changed.append, self.daemon.at, self.token)

    def tearDown(self) -> None:
        self.client.close()
        self.daemon.stop()
        self.folder.cleanup()

    def until(self, wanted: Any, seconds: float = 20) -> None:
        self.assertTrue(self.loop.run(wanted, seconds), "it did not come to be")

    def ready(self) -> None:
        self.client.state(FOLDER + b"/a")
        self.until(lambda: self.client.state(FOLDER + b"/a") is not None)

    def asked(self, method: str) -> list[list[str]]:
        return [it["params"]["paths"] for it in self.daemon.requests if it["method"] == method]

    def test_paths_go_byte_by_byte_there_and_back(self) -> None:
        for path in [b"/a:b", b"/new\nline", b"/tab\t", b"/\xff\xfe\\x41", "/\u202egpj.exe".encode(), b"/\\\\", bytes(range(1, 256))]:
            self.assertEqual(parsec_fm.unescape(parsec_fm.escape(path)), path)
            json.dumps(parsec_fm.escape(path)).encode()
            if path.startswith(b"/"):
                self.assertEqual(parsec_fm.path_of(parsec_fm.uri_of(path)), path)
        for uri in ["trash:///a", "smb://x/a", "file://elsewhere/a", "", "file:///a%00b"]:
            self.assertIsNone(parsec_fm.path_of(uri))

    def test_a_folder_of_many_files_is_few_questions(self) -> None:
        self.ready()
        before = len(self.asked("fm.status"))
        begun = time.monotonic()
        for number in range(100_000):
            self.client.state(FOLDER + b"/%d" % number)
        self.assertLess(time.monotonic() - begun, 10, "asking costs the manager next to nothing")
        newest = FOLDER + b"/99999"
        self.until(lambda: newest in self.client.known)
        self.assertLess(len(self.asked("fm.status")) - before, 5, "what is looked at now comes first")
        self.assertTrue(all(len(paths) <= parsec_fm.PATHS_MAX for paths in self.asked("fm.status")))
        self.until(lambda: not self.client._wanted and not self.client._asking, 120)
        self.assertLessEqual(len(self.client.known), parsec_fm.CACHE_MAX)

    def test_files_of_others_are_not_told_to_anybody(self) -> None:
        self.ready()
        for path in [b"/etc/passwd", FOLDER + b"x/a", b"/home/a"]:
            self.assertIsNone(self.client.state(path))
            self.assertEqual(self.client.menu([path]), [])
        self.loop.run(lambda: False, 0.5)
        told = "".join(str(it["params"]) for it in self.daemon.requests)
        self.assertNotIn("passwd", told)
        self.assertNotIn("Plansx", told)

    def test_labels_are_words_and_nothing_else(self) -> None:
        self.ready()
        self.daemon.menu = {"items": [
            {"id": "a", "label": "<b>x</b>\n\u202egpj\x1b[2J" + "y" * 1000, "enabled": True},
            {"id": "b", "label": "", "enabled": True},
            {"id": 7, "label": "x"}, {"label": "x"}, "x", None, {"id": "c", "label": ["x"]},
            {"id": "d", "label": "fine", "enabled": "yes"},
        ] + [{"id": "e", "label": "x", "enabled": True}] * 1000}
        # The daemon is in this loop: its answer is read first, as one that is already there.
        lines = parsec_fm.read_menu(self.daemon.menu)
        self.assertLessEqual(len(lines), 32)
        self.assertEqual((lines[0].id, lines[0].label[:15]), ("a", "<b>x</b>gpj[2Jy"))
        self.assertLessEqual(len(lines[0].label), parsec_fm.LABEL_MAX)
        self.assertEqual((lines[1].id, lines[1].enabled), ("d", False))
        for wrong in [None, [], "x", {"items": {}}, {"items": None}]:
            self.assertEqual(parsec_fm.read_menu(wrong), [])

    def test_only_parsecctl_is_ever_started_and_never_by_a_shell(self) -> None:
        command = ["parsecctl", "safe", "history", "5afe:/x; rm -rf ~ $(reboot)"]
        self.assertEqual(parsec_fm.command_of({"command": command}), command)
        for wrong in [[], ["sh", "-c", "x"], ["/tmp/parsecctl", "x"], ["parsecctl"], ["parsecctl", "a\0b"], ["parsecctl", 7], "parsecctl x", ["parsecctl"] * 50, None]:
            self.assertIsNone(parsec_fm.command_of({"command": wrong}), wrong)
        bin, seen = self.folder.name + "/bin", self.folder.name + "/seen"
        os.mkdir(bin)
        for name in ["x-terminal-emulator", "xdg-terminal-exec"]:
            Path(f"{bin}/{name}").write_text(f'#!/bin/sh\nprintf "%s\\n" "$@" >{seen}\n')
            os.chmod(f"{bin}/{name}", stat.S_IRWXU)
            path = os.environ["PATH"]
            os.environ["PATH"] = f"{bin}:{path}"
            try:
                started = parsec_fm.in_terminal(command, "/holder")
            finally:
                os.environ["PATH"] = path
            assert started is not None
            self.assertTrue(parsec_fm.start(started))
            self.until(lambda: os.path.exists(seen) and Path(seen).read_text().endswith("~ $(reboot)\n"))
            self.assertEqual(Path(seen).read_text().splitlines()[-5:], ["/holder", *command])
            os.unlink(seen)

    def test_a_daemon_that_hangs_costs_one_menu_of_fifty_milliseconds(self) -> None:
        self.ready()
        self.daemon.hangs = True
        begun = time.monotonic()
        self.assertEqual(self.client.menu([FOLDER + b"/a"]), [])
        self.assertLess(time.monotonic() - begun, 0.2)
        begun = time.monotonic()
        for _ in range(100):
            self.assertEqual(self.client.menu([FOLDER + b"/a"]), [])
            self.client.state(FOLDER + b"/b")
        self.assertLess(time.monotonic() - begun, 0.2, "while it is silent nobody waits for it again")

    def test_a_daemon_that_goes_and_comes(self) -> None:
        self.ready()
        self.changed.clear()
        self.daemon.stop()
        self.until(lambda: FOLDER + b"/a" in self.changed)
        self.assertIsNone(self.client.state(FOLDER + b"/a"), "nothing is shown of what is not known")
        done: list[Any] = []
        self.client.invoke("pin", [FOLDER + b"/a"], done.append)
        self.assertEqual(done, [None])
        self.daemon.start()
        self.until(lambda: self.client.state(FOLDER + b"/a") is not None)

    def test_a_token_that_is_not_taken_is_not_tried_again_until_there_is_another(self) -> None:
        self.daemon.refuses = "token_invalid"
        self.client.state(FOLDER + b"/a")
        self.until(lambda: len(self.daemon.requests) == 1)
        self.loop.run(lambda: False, 4)
        self.assertEqual(len(self.daemon.requests), 1)
        self.daemon.refuses = None
        os.unlink(self.token)
        Path(self.token).write_text("parsec-token-y\n")
        os.chmod(self.token, 0o600)
        self.until(lambda: self.client.state(FOLDER + b"/a") is not None, 40)
        for mode in (0o644, 0o660):
            os.chmod(self.token, mode)
            self.assertIsNone(parsec_fm.read_token(self.token), "others may read it")

    def test_nonsense_costs_a_connection_and_no_exception(self) -> None:
        for raw in [b"\n", b"{}\n", b"[]\n", b"null\n", b"\xff\xfe\n", b'{"id":[]}\n', b'{"id":1,"result":7}\n', b'{"id":1,"error":[]}\n',
                    b'{"method":"events.item"}\n', b'{"method":"events.item","params":{"result":{"kind":[],"event":{"type":{}}}}}\n', b"[" * 100_000 + b"\n", b"x" * 200_000]:
            self.daemon.raw = raw
            client = parsec_fm.Client(self.loop, self.changed.append, self.daemon.at, self.token)
            client.state(FOLDER + b"/a")
            self.loop.run(lambda: False, 0.05)
            self.assertIsNone(client.state(FOLDER + b"/a"))
            self.assertEqual(client.menu([FOLDER + b"/a"]), [])
            client.close()

    def test_a_safe_that_is_mounted_later_is_asked_about(self) -> None:
        self.daemon.folders = []
        self.client.state(FOLDER + b"/a")
        self.until(lambda: self.client.ready)
        self.assertIsNone(self.client.state(FOLDER + b"/a"))
        self.daemon.folders = [FOLDER.decode()]
        self.daemon.event({"kind": "event", "event": {"type": "safe_changed", "reason": "mounted"}})
        self.until(lambda: FOLDER + b"/a" in self.changed)
        self.until(lambda: self.client.state(FOLDER + b"/a") is not None)

    def test_the_newest_typelib_that_is_there_is_taken(self) -> None:
        def fake(loaded: str | None, there: set[str]) -> types.SimpleNamespace:
            def require_version(_: str, version: str) -> None:
                if version not in there:
                    raise ValueError(version)

            return types.SimpleNamespace(get_required_version=lambda _: loaded, require_version=require_version)

        source = (Path(parsec_fm.__file__).parent / "parsec_gi.py").read_text()
        begin = source.index("def require(")
        scope: dict[str, Any] = {"Any": Any}
        exec(compile(source[begin:source.index("\n\n\n", begin)], "require", "exec"), scope)  # noqa: S102
        require = scope["require"]
        versions = ("4.1", "4.0", "3.0")
        for loaded, there, taken in [
            (None, {"4.1", "4.0"}, "4.1"), (None, {"4.0"}, "4.0"), (None, {"3.0"}, "3.0"), ("4.0", {"4.1", "4.0"}, "4.0"), (None, set(), None),
        ]:
            self.assertEqual(require(fake(loaded, there), "Nautilus", versions), taken)


unittest.main()

#!/usr/bin/env python3
"""Who is joining? Tells on standard output who is being enrolled at this machine, as it happens.

A plug-in for parsecd to begin from: standard library only. It says hello with a token, follows events, comes back after the last
one it saw when the connection was lost, and begins anew where events are missing. See README.md beside it.

    who_is_joining.py --token-file ~/.config/who-is-joining/token
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import socket
import stat
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

CLIENT = "who-is-joining/1"
API = "2.0"
# Pauses between attempts to reach the daemon: short after a restart, never a burden.
PAUSE_FIRST_SECONDS = 0.5
PAUSE_LONGEST_SECONDS = 30.0


class Refused(Exception):
    """The daemon's answer was an error. Programs go by its name; the words are for people."""

    def __init__(self, error: dict[str, Any]) -> None:
        problem = error.get("data") or {}
        super().__init__(f"{error.get('message', '?')} {problem.get('hint', '')} ({problem.get('name', '?')})")
        self.retryable: bool = problem.get("retryable", False)
        self.exit_code: int = problem.get("exit_code", 70)


class Daemon:
    """One connection: a JSON object a line in each direction."""

    def __init__(self, path: Path, token: str | None) -> None:
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.socket.connect(str(path))
        self.lines = self.socket.makefile("r", encoding="utf-8", newline="\n")
        self.last_request = 0
        hello = {"client": CLIENT, "api": API}
        self.ask("rpc.hello", **hello, **({"token": token} if token else {}))

    def __enter__(self) -> Daemon:
        return self

    def __exit__(self, *_: object) -> None:
        self.lines.close()
        self.socket.close()

    def read(self) -> dict[str, Any]:
        line = self.lines.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the daemon closed the connection")
        return json.loads(line)

    def ask(self, method: str, **params: Any) -> Any:
        self.last_request += 1
        request = {"jsonrpc": "2.0", "id": self.last_request, "method": method, "params": params}
        self.socket.sendall(json.dumps(request).encode() + b"\n")
        while (answer := self.read()).get("id") != self.last_request:
            pass
        if "error" in answer:
            raise Refused(answer["error"])
        return answer["result"]

    def follow(self, after: dict[str, Any] | None) -> Iterator[dict[str, Any]]:
        """Every item of `events.watch`, from a snapshot or from the last one seen."""
        self.ask("events.watch", **({"after": after} if after else {}))
        while True:
            said = self.read()
            if said.get("method") == "events.item":
                yield said["params"]["result"]


class Board:
    """Who is being enrolled. Knows no more than items say, and passes over items it doesn't know."""

    def __init__(self) -> None:
        self.position: dict[str, Any] | None = None
        self.shown: dict[int, str] = {}

    def take(self, item: dict[str, Any]) -> None:
        kind = item["kind"]
        if kind == "gap":
            # What happened in between is lost, so nothing that was known counts any more. A snapshot follows.
            say("(some events were missed)")
            return
        if "id" not in item:
            return
        if kind == "snapshot":
            if self.position and self.position["stream"] != item["stream"]:
                # Another run of the daemon numbers its ceremonies anew.
                self.shown.clear()
            for ceremony in item["status"]["ceremonies"]:
                self.show(ceremony)
        elif kind == "event":
            event = item["event"]
            if event["type"].startswith("ceremony_") and "ceremony" in event:
                self.show(event["ceremony"])
            elif event["type"] == "stopping":
                say("parsecd is stopping")
        # Only now: whoever is killed in between sees the item again rather than never.
        self.position = {"stream": item["stream"], "id": item["id"]}

    def show(self, ceremony: dict[str, Any]) -> None:
        subject = ceremony.get("subject") or {}
        whom = subject.get("email") or (f"a device of {subject['user'][:8]}" if "user" in subject else "somebody")
        side = {"greeter": "is being enrolled from here", "claimer": "joins here"}.get(ceremony["role"], ceremony["role"])
        end = ""
        if ceremony.get("enrolled"):
            end = f", device {ceremony['enrolled']['device'][:8]}"
        elif ceremony.get("problem"):
            end = f": {ceremony['problem']}"
        line = f"{ceremony['organisation']}: {whom} {side} - {ceremony['stage'].replace('_', ' ')}{end}"
        # A snapshot repeats what is known.
        if self.shown.get(ceremony["id"]) != line:
            self.shown[ceremony["id"]] = line
            say(line)


def say(line: str) -> None:
    try:
        print(line, flush=True)
    except BrokenPipeError:
        # Nobody reads any more: nothing is left to do, and Python need not complain when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(0) from None


def read_token(path: Path) -> str:
    """A token is a key: nobody else may read it."""
    if path.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO):
        raise SystemExit(f"{path} can be read by others: chmod 600 {path}")
    return path.read_text().strip()


def follow_for_ever(path: Path, token: str | None) -> None:
    board, pause = Board(), PAUSE_FIRST_SECONDS
    while True:
        try:
            with Daemon(path, token) as daemon:
                say("connected")
                for item in daemon.follow(board.position):
                    board.take(item)
                    pause = PAUSE_FIRST_SECONDS
        except Refused as refused:
            if not refused.retryable:
                print(f"who_is_joining: {refused}", file=sys.stderr)
                raise SystemExit(refused.exit_code) from None
        except (OSError, ValueError):
            # Not there, or gone, or cut off in the middle of a line: the daemon is being started again.
            pass
        time.sleep(pause)
        pause = min(2 * pause, PAUSE_LONGEST_SECONDS)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    runtime = os.environ.get("XDG_RUNTIME_DIR", f"/run/user/{os.getuid()}")
    default = Path(runtime, "parsecd", "plugin.sock")
    parser.add_argument("--socket", type=Path, default=default, help="parsecd's plug-in socket (%(default)s)")
    parser.add_argument("--token-file", type=Path, help="what `parsecctl token create` gave; not needed at the user's own socket")
    options = parser.parse_args()
    # A plug-in is stopped, not asked: both ways end it quietly.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: sys.exit(0))
    follow_for_ever(options.socket, read_token(options.token_file) if options.token_file else None)


if __name__ == "__main__":
    main()

#!/usr/bin/env python3
"""The file managers' client, without a file manager: tells on standard output how one file stands.

    follow_file.py SOCKET TOKEN-FILE PATH

`menu` on standard input prints the menu's lines, `invoke ID` chooses one.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "plugins"))

import parsec_fm  # noqa: E402


def main() -> None:
    at, token, path = sys.argv[1], sys.argv[2], os.fsencode(sys.argv[3])
    loop = parsec_fm.SelectLoop()
    told: list[str] = []

    def tell(line: str) -> None:
        print(line, flush=True)

    def show() -> None:
        state = client.state(path)
        words = f"{state.state} {state.words}" if state else "nothing"
        if told[-1:] != [words]:
            told.append(words)
            tell(words)

    def asked() -> None:
        data = os.read(0, 4096)
        if not data:
            raise SystemExit
        for line in data.decode().splitlines():
            if line == "menu":
                tell("menu " + "|".join(item.label for item in client.menu([path])))
            elif line.startswith("invoke "):
                client.invoke(line[7:], [path], lambda result: tell(f"invoked {'something' if result else 'nothing'}"))

    client = parsec_fm.Client(loop, lambda changed: show() if changed == path else None, at, token)
    loop.watch(0, asked, False)

    # A file manager asks again whenever it draws.
    def draw() -> None:
        show()
        loop.later(0.5, draw)

    draw()
    loop.run(lambda: False, 600)


main()

#!/usr/bin/env python3
"""A real file manager with the plug-in, driven and read as a screen reader would: over AT-SPI.

    xvfb-run -a dbus-run-session -- file_manager_seen.py nautilus HOME FOLDER

HOME is made up by whoever calls; FOLDER is what is opened. What is read on standard input are lines:
`column WORDS` waits until a cell says so, `menu FILE` prints the menu's lines of ours, `click FILE LINE`
(with a tab between) chooses one, `shot FILE` takes a picture, `alive` asks whether it runs. Each is
answered by one line that begins with `yes` or `no`. Ends with its input.
"""

from __future__ import annotations

import configparser
import os
import subprocess
import sys
import time

WAIT_SECONDS = 25

COLUMNS = {
    "nautilus": ("org/gnome/nautilus/list-view", "Nautilus::parsec_state",
                 {"org/gnome/nautilus/preferences": {"default-folder-viewer": "'list-view'"}}, "default-visible-columns", "default-column-order"),
    "nemo": ("org/nemo/list-view", "Nemo::parsec_state", {"org/nemo/preferences": {"default-folder-viewer": "'list-view'"}}, "default-visible-columns", "default-column-order"),
    "caja": ("org/mate/caja/list-view", "Caja::parsec_state", {"org/mate/caja/preferences": {"default-folder-viewer": "'list-view'"}}, "default-visible-columns", "default-column-order"),
}


def prepare(manager: str, home: str) -> None:
    """The plug-in, the emblems, and a list with our column, as a person would set them up."""
    plugins = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.realpath(__file__)))), "plugins")
    data = os.environ["XDG_DATA_HOME"]
    extensions = f"{data}/{manager}-python/extensions"
    emblems = f"{data}/icons/hicolor/scalable/emblems"
    for folder in (extensions, emblems, os.environ["XDG_CONFIG_HOME"] + "/glib-2.0/settings"):
        os.makedirs(folder, exist_ok=True)
    os.symlink(f"{plugins}/{manager}/parsec_{manager}.py", f"{extensions}/parsec_{manager}.py")
    for icon in os.listdir(f"{plugins}/icons"):
        os.symlink(f"{plugins}/icons/{icon}", f"{emblems}/{icon}")
    path, column, more, visible, order = COLUMNS[manager]
    names = f"['name', '{column}', 'size']"
    settings = configparser.RawConfigParser()
    settings.optionxform = str  # type: ignore[assignment, method-assign]
    settings[path] = {visible: names, order: names}
    settings["org/gnome/desktop/interface"] = {"toolkit-accessibility": "true"}
    for section, values in more.items():
        settings[section] = values
    with open(os.environ["XDG_CONFIG_HOME"] + "/glib-2.0/settings/keyfile", "w") as file:
        settings.write(file)


def main() -> None:
    manager, home, folder = sys.argv[1:4]
    os.environ.update({
        "HOME": home, "XDG_CONFIG_HOME": f"{home}/.config", "XDG_DATA_HOME": f"{home}/.local/share", "XDG_CACHE_HOME": f"{home}/.cache",
        "GSETTINGS_BACKEND": "keyfile", "GDK_BACKEND": "x11", "GSK_RENDERER": "cairo", "GIO_USE_VFS": "local", "LANG": "C.UTF-8",
        "GTK_A11Y": "atspi", "GTK_MODULES": "gail:atk-bridge", "NO_GFX": "1", "PYTHONDONTWRITEBYTECODE": "1",
    })
    os.environ.pop("NO_AT_BRIDGE", None)
    prepare(manager, home)
    started = [subprocess.Popen(["/usr/libexec/at-spi-bus-launcher", "--launch-immediately"])]
    import gi

    gi.require_version("Atspi", "2.0")
    from gi.repository import Atspi

    options = {"nautilus": ["--new-window"], "nemo": ["--no-desktop"], "caja": ["--no-desktop", "--browser"]}[manager]
    log = open(f"{home}/log", "wb")
    started.append(subprocess.Popen([manager, *options, folder], stdout=log, stderr=log))

    def application():
        desktop = Atspi.get_desktop(0)
        for at in range(desktop.get_child_count()):
            found = desktop.get_child_at_index(at)
            if found is not None and manager in (found.get_name() or "").lower():
                return found
        return None

    def walk(top, depth=0):
        if top is None or depth > 40:
            return
        yield top
        try:
            count = min(top.get_child_count(), 400)
        except Exception:
            return
        for at in range(count):
            try:
                child = top.get_child_at_index(at)
            except Exception:
                continue
            yield from walk(child, depth + 1)

    def text(node) -> str:
        try:
            found = node.get_name() or ""
            if not found and node.get_text_iface() is not None:
                found = Atspi.Text.get_text(node, 0, 200)
            return found
        except Exception:
            return ""

    def until(look):
        end = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < end:
            found = look()
            if found:
                return found
            time.sleep(0.1)
        return None

    def find(words: str):
        return next((node for node in walk(application()) if words == text(node).strip()), None)

    def act(node) -> bool:
        return node.get_n_actions() > 0 and bool(node.do_action(0))

    def is_shown(node) -> bool:
        # GTK 4 says it of no line of a menu, and has none but those that are open.
        try:
            return manager == "nautilus" or node.get_state_set().contains(Atspi.StateType.SHOWING)
        except Exception:
            return False

    def ours():
        return [node for node in walk(application()) if text(node).startswith("Parsec: ") and is_shown(node)]

    def pointer(*words: str) -> None:
        subprocess.run(["xdotool", *words], check=False)

    opened: list[str] = []

    def menu_of(name: str) -> list:
        """Selects a file and opens its menu, with the pointer."""
        node = until(lambda: find(name))
        if node is None:
            return []
        box = node.get_extents(Atspi.CoordType.SCREEN)
        x, y = box.x + min(30, box.width // 2), box.y + box.height // 2
        pointer("mousemove", str(x), str(y))
        # Where a menu was open before, the first click may do no more than close it. Two in a row
        # would open the file.
        for _ in range(2 if opened else 1):
            pointer("click", "1")
            time.sleep(0.8)
        opened.append(name)
        pointer("click", "3")
        return until(ours) or []

    def labels(lines) -> list:
        return list(dict.fromkeys(text(node) for node in lines))

    for line in sys.stdin:
        word, _, rest = line.rstrip("\n").partition(" ")
        if word == "column":
            print("yes" if until(lambda: find(rest)) else "no", flush=True)
        elif word == "shot":
            subprocess.run(["import", "-window", "root", rest], check=False)
            print("yes", flush=True)
        elif word == "menu":
            print(" | ".join(["yes", *labels(menu_of(rest))]), flush=True)
        elif word == "click":
            name, _, label = rest.partition("\t")
            chosen = next((node for node in menu_of(name) if text(node) == label), None)
            print("yes" if chosen is not None and act(chosen) else "no", flush=True)
        elif word == "alive":
            print("yes" if started[-1].poll() is None else "no", flush=True)
    for one in reversed(started):
        one.terminate()


main()

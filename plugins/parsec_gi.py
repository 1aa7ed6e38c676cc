"""What the plug-ins of GTK file managers share: emblems, a column and a menu, out of parsec_fm.

Decides which emblem stands for what. A manager's own file says which typelib it takes and nothing
else. Refuses to let an error of ours, or of the daemon, into the file manager, and to hold on to
its files: they are found again by their place.
"""

from __future__ import annotations

import os
from typing import Any, Callable

from gi.repository import Gio, GLib, GObject

import parsec_fm

# Beside the state's own; by shape and not by colour alone.
MARKS = {"read_only": "parsec-read-only", "online_only": "parsec-online-only", "pinned": "parsec-pinned"}
STATES = ("synced", "syncing", "saved", "pending", "conflict", "locked", "untrusted")
HOLDER = "parsec-show"


def require(gi: Any, namespace: str, versions: tuple[str, ...]) -> str | None:
    """Takes the first version of a typelib that is there, or the one that is loaded already."""
    loaded = gi.get_required_version(namespace)
    if loaded is not None:
        return loaded
    for version in versions:
        try:
            gi.require_version(namespace, version)
        except ValueError:
            continue
        return version
    return None


class GLibLoop:
    """parsec_fm's loop on the file manager's own."""

    def watch(self, fd: int, ready: Callable[[], None], writing: bool) -> int:
        condition = GLib.IOCondition.OUT if writing else GLib.IOCondition.IN | GLib.IOCondition.HUP | GLib.IOCondition.ERR

        def call(*_: Any) -> bool:
            ready()
            return True

        return GLib.io_add_watch(fd, GLib.PRIORITY_DEFAULT, condition, call)

    def later(self, seconds: float, call: Callable[[], None]) -> int:
        def once() -> bool:
            call()
            return False

        return GLib.timeout_add(int(seconds * 1000), once)

    def stop(self, handle: int) -> None:
        # One that has run is gone already.
        if GLib.MainContext.default().find_source_by_id(handle) is not None:
            GLib.source_remove(handle)


def emblems(state: parsec_fm.State) -> list[str]:
    found = [f"parsec-{state.state}"] if state.state in STATES else []
    return found + [MARKS[mark] for mark in state.marks if mark in MARKS]


def holder() -> str:
    """The program that keeps a terminal open until somebody has read what is in it."""
    beside = os.path.join(os.path.dirname(os.path.realpath(__file__)), HOLDER)
    return beside if os.path.exists(beside) else "/usr/libexec/parsec/" + HOLDER


def to_clipboard(text: str) -> None:
    import gi

    version = gi.get_required_version("Gtk") or "3.0"
    if version.startswith("4"):
        from gi.repository import Gdk

        value = GObject.Value()
        value.init(GObject.TYPE_STRING)
        value.set_string(text)
        Gdk.Display.get_default().get_clipboard().set_content(Gdk.ContentProvider.new_for_value(value))
    else:
        from gi.repository import Gdk, Gtk

        clipboard = Gtk.Clipboard.get(Gdk.SELECTION_CLIPBOARD)
        clipboard.set_text(text, -1)
        clipboard.store()


def provider(files: Any, name: str) -> type:
    """The class that a file manager looks for; `files` is its typelib, `name` what it is called."""

    def changed(path: bytes) -> None:
        # Only one that is shown, or was; nothing is made for it.
        found = files.FileInfo.lookup(Gio.File.new_for_uri(parsec_fm.uri_of(path)))
        if found is not None:
            found.invalidate_extension_info()

    client = parsec_fm.Client(GLibLoop(), changed)

    def path_of(file: Any) -> bytes | None:
        return parsec_fm.path_of(file.get_uri())

    def invoked(result: Any) -> None:
        command = parsec_fm.command_of(result)
        if command is not None:
            started = parsec_fm.in_terminal(command, holder())
            if started is not None:
                parsec_fm.start(started)
        elif isinstance(result, dict) and isinstance(result.get("copy"), str):
            to_clipboard(result["copy"])

    def lines(selected: list[Any], of: str) -> list[Any]:
        paths = [path_of(file) for file in selected]
        if not paths or any(path is None for path in paths):
            return []
        items = []
        for line in client.menu(paths):
            # An underscore would underline the letter behind it.
            label = "Parsec: " + line.label.replace("_", "__")
            # Nautilus has the folder's menu and the files' at once, and one action of each name: a
            # line of the one would do what that of the other says.
            item = files.MenuItem(name=f"{name}::parsec_{of}_{line.id}", label=label, tip="", sensitive=line.enabled)
            item.connect("activate", lambda _, id=line.id: client.invoke(id, paths, guarded(invoked, None)))
            items.append(item)
        return items

    def guarded(call: Callable[..., Any], otherwise: Any) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            try:
                return call(*arguments)
            except Exception:  # noqa: BLE001
                return otherwise

        return run

    def show(file: Any) -> None:
        path = path_of(file)
        state = client.state(path) if path is not None else None
        if state is None:
            return
        for emblem in emblems(state):
            file.add_emblem(emblem)
        file.add_string_attribute("parsec_state", state.words)

    show, lines = guarded(show, None), guarded(lines, [])

    class Parsec(GObject.GObject, files.InfoProvider, files.ColumnProvider, files.MenuProvider):
        __gtype_name__ = f"Parsec{name}"

        def get_columns(self) -> tuple[Any, ...]:
            about = "How the file stands in its safe"
            return (files.Column(name=f"{name}::parsec_state", attribute="parsec_state", label="Parsec", description=about),)

        def update_file_info(self, file: Any) -> Any:
            show(file)
            return files.OperationResult.COMPLETE

        # Some managers hand over their window first.
        def get_file_items(self, *arguments: Any) -> list[Any]:
            return lines(list(arguments[-1]), "files")

        def get_background_items(self, *arguments: Any) -> list[Any]:
            return lines([arguments[-1]], "folder")

    return Parsec

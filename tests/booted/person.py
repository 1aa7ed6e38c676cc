"""A person on the booted machine: what they run, and what they see of their service manager.

Decides how a command becomes theirs: their user, home and runtime folder, and nothing of root's environment. Every wait has an end, and says
what it waited for.
"""

import json
import os
import subprocess
import time

# Long enough for a busy machine; only a broken product waits so long.
DEADLINE_SECONDS = 60
# Between two looks at something that tells nobody when it changes.
LOOK_SECONDS = 0.05


class Failed(Exception):
    """Something isn't as it should be."""


def until(what, look):
    """What `look` returns, as soon as that is anything."""
    end = time.monotonic() + DEADLINE_SECONDS
    while True:
        found = look()
        if found:
            return found
        if time.monotonic() > end:
            raise Failed(f"waited {DEADLINE_SECONDS} s for {what}")
        time.sleep(LOOK_SECONDS)


def run(*command, **options):
    """As root; what it said."""
    options.setdefault("check", True)
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, **{**options, "check": False})
    if options["check"] and done.returncode != 0:
        raise Failed(f"{' '.join(command)}: ended with {done.returncode}\n{done.stdout}{done.stderr}")
    return done


def properties(*command):
    """`systemctl show` as a dictionary."""
    lines = run(*command).stdout.splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


class Person:
    """A user with a running service manager of their own."""

    def __init__(self, name):
        self.name = name
        self.uid = int(run("id", "-u", name).stdout)
        self.home = f"/home/{name}"
        self.runtime = f"/run/user/{self.uid}"

    def run(self, *command, **options):
        """A command of theirs."""
        environment = {
            "PATH": "/usr/bin:/bin",
            "HOME": self.home,
            "USER": self.name,
            "LANG": "C.UTF-8",
            "XDG_RUNTIME_DIR": self.runtime,
        }
        return run("/usr/sbin/runuser", "-u", self.name, "--", *command, env=environment, **options)

    def file(self, name, text):
        """A file of theirs that nobody else can read; where it is."""
        path = os.path.join(self.home, name)
        self.run("mkdir", "-p", os.path.dirname(path))
        with open(os.open(path, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
            file.write(text)
        os.chown(path, self.uid, self.uid)
        return path

    def ctl(self, *command, good=(0,)):
        """The last object parsecctl prints."""
        done = self.run("parsecctl", *command, "--json", check=False)
        if done.returncode not in good:
            raise Failed(f"{self.name}: parsecctl {' '.join(command)}: {done.returncode}\n{done.stdout}{done.stderr}")
        lines = [line for line in (done.stdout + done.stderr).splitlines() if line.startswith("{")]
        return {"exit": done.returncode, **(json.loads(lines[-1]) if lines else {})}

    def systemctl(self, *command, **options):
        """Their service manager."""
        return self.run("systemctl", "--user", *command, **options)

    def show(self, unit="parsecd.service"):
        """A unit's properties."""
        lines = self.systemctl("show", unit).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines if "=" in line)

    def drop_in(self, name, text):
        """Settles something about their daemon, from its next start on."""
        self.file(f".config/systemd/user/parsecd.service.d/{name}.conf", text)
        self.systemctl("daemon-reload")

    def journal(self):
        """What their daemon logged."""
        lines = self.run("journalctl", "--user", "-o", "json", "-u", "parsecd.service").stdout.splitlines()
        return [json.loads(line) for line in lines]


def find(value, key):
    """The first thing under this key that is there, at any depth."""
    if isinstance(value, dict):
        if value.get(key) is not None:
            return value[key]
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            found = find(inner, key)
            if found is not None:
                return found
    return None

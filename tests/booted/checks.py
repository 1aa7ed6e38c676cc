#!/usr/bin/env python3
"""What a person would see of Parsec on a freshly installed Debian: run as root by that Debian's own systemd, after boot.

Each function is one check, in this order; it returns what it saw, and each builds on those before it. The first that fails ends the run, with the
journals. Lines go to FILE, the first argument: "ok NAME: SAW" or "FAILED NAME: WHY", at the end "all N". Nothing is taken out of a unit; the
drop-ins below only shorten a time or point to a credential, and the line that mentions them says so.
"""

import os
import stat
import subprocess
import sys
import time
import traceback
import urllib.request

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

from person import Failed, Person, find, properties, run, until  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
SERVER = "https://parsec.example:6770"
DATABASE = "/var/lib/parsec-metadata/db.sqlite"
ALICE_PASSWORD = "alice walks seven dogs"
BOB_PASSWORD = "bob counts grey herons"
SOCKETS = ("parsecd.socket", "parsecd-plugin.socket")

alice = bob = None
noted = {}


def need(true, why):
    """Fails a check."""
    if not true:
        raise Failed(why)


def the_machine_boots():
    state = until("the end of the boot", lambda: run("systemctl", "is-system-running", check=False).stdout.strip().replace("starting", ""))
    need(state == "running", f"{state}: {run('systemctl', '--failed', '--no-legend').stdout}")
    # nspawn lays a pipe over /proc/kmsg that is gone by name, so no unit with ProtectKernelLogs= could start. Without it there is the kernel's own file,
    # which nspawn doesn't let anybody read either.
    run("umount", "/proc/kmsg")
    return "no unit failed; nspawn's stand-in for /proc/kmsg taken away, so that ProtectKernelLogs= can do its work"


def packages_are_installed_while_people_are_logged_in():
    files = [os.path.join(HERE, "packages", name) for name in sorted(os.listdir(os.path.join(HERE, "packages")))]
    run("apt-get", "install", "-y", "--no-install-recommends", *files, env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    global alice, bob
    alice, bob = Person("alice"), Person("bob")
    for person in (alice, bob):
        for unit in SOCKETS:
            need(person.systemctl("is-enabled", unit).stdout.strip() == "enabled", f"{unit} is not enabled for {person.name}")
            need(person.show(unit)["ActiveState"] == "active", f"{unit} is not active for {person.name}")
    return "sockets enabled and listening for alice and bob at once, without logging in again"


def sockets_are_private_and_the_daemon_sleeps():
    for person in (alice, bob):
        folder = os.stat(f"{person.runtime}/parsecd")
        need((stat.S_IMODE(folder.st_mode), folder.st_uid) == (0o700, person.uid), f"folder {oct(folder.st_mode)}")
        for name in ("parsecd.sock", "plugin.sock"):
            mode = stat.S_IMODE(os.stat(f"{person.runtime}/parsecd/{name}").st_mode)
            need(mode == 0o600, f"{name} has mode {oct(mode)}")
        need(person.show()["ActiveState"] == "inactive", f"{person.name}'s daemon runs although nobody asked it anything")
    done = bob.run("parsecctl", "status", "--socket", f"{alice.runtime}/parsecd/parsecd.sock", check=False)
    need(done.returncode != 0, "bob reaches alice's daemon")
    need(alice.show()["ActiveState"] == "inactive", "bob woke alice's daemon")
    return "both sockets 0600 in a folder 0700, both daemons inactive; bob can't even wake alice's"


def the_first_question_starts_the_daemon():
    for person in (alice, bob):
        person.ctl("status")
        unit = person.show()
        need((unit["Type"], unit["ActiveState"], unit["SubState"]) == ("notify", "active", "running"), str(unit))
        need(int(unit["ExecMainStartTimestampMonotonic"]) < int(unit["ActiveEnterTimestampMonotonic"]), "active before it said READY")
        noted[person.name] = unit["MainPID"]
    said = alice.systemctl("status", "--no-pager", "parsecd.service").stdout
    line = next((line.strip() for line in said.splitlines() if line.strip().startswith("Status:")), "")
    need("0 of 0 devices" in line, f"systemctl status says {line!r}")
    return f"Type=notify, active after READY; systemctl --user status shows {line}"


def the_server_runs_as_a_system_service():
    unit = properties("systemctl", "show", "parsec-metadata.service")
    need((unit["ActiveState"], unit["Type"], unit["User"]) == ("active", "notify", "parsec-metadata"), str(unit))
    with urllib.request.urlopen("http://127.0.0.1:6770/v1/health", timeout=10) as answer:
        need(answer.status == 204, f"health says {answer.status}")
    folder = os.stat("/var/lib/parsec-metadata")
    need(stat.S_IMODE(folder.st_mode) == 0o700 and folder.st_uid != 0, "its folder is not its own")
    need(os.stat(f"/proc/{unit['MainPID']}").st_uid == folder.st_uid, "it runs as somebody else")
    return f"active, READY said, its own user and folder, GET /v1/health answers 204; status {unit['StatusText']!r}"


def its_configuration_file_counts():
    openssl = ("openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    folder = "/etc/parsec/tls"
    with open("/etc/hosts", "w", encoding="ascii") as file:
        file.write("127.0.0.1 localhost parsec.example\n")
    run("install", "-d", "-m", "750", "-g", "parsec-metadata", folder)
    run(*openssl, "-x509", "-subj", "/CN=Acme", "-days", "30", "-keyout", "/ca.key", "-out", "/usr/local/share/ca-certificates/acme.crt")
    run(*openssl, "-subj", "/CN=parsec.example", "-addext", "subjectAltName=DNS:parsec.example", "-keyout", f"{folder}/key.pem", "-out", "/leaf.csr")
    run(*"openssl x509 -req -in /leaf.csr -CA /usr/local/share/ca-certificates/acme.crt -CAkey /ca.key -CAcreateserial".split(),
        "-copy_extensions", "copy", "-days", "30", "-out", f"{folder}/chain.pem")
    run("chgrp", "parsec-metadata", f"{folder}/key.pem")
    run("chmod", "640", f"{folder}/key.pem")
    run("update-ca-certificates")
    with open("/etc/parsec/metadata.toml", "a", encoding="utf-8") as file:
        file.write(f'public-url = "{SERVER}"\ntls-certificate = "{folder}/chain.pem"\ntls-key = "{folder}/key.pem"\n')
    run("systemctl", "restart", "parsec-metadata.service")
    with urllib.request.urlopen(f"{SERVER}/v1/health", timeout=10) as answer:
        need(answer.status == 204, f"health says {answer.status}")
    # They read the system's authorities when they start.
    for person in (alice, bob):
        person.systemctl("restart", "parsecd.service")
    return "TLS with a certificate of an authority that was added to the system's; all that follows is https"


def alice_founds_an_organisation():
    said = run("/usr/sbin/runuser", "-u", "parsec-metadata", "--", "parsec-metadata", "organisation", "create", "acme", "--database", DATABASE, "--json").stdout
    token = next(word for word in said.replace('"', " ").split() if len(word) == 64)
    noted["token"] = token
    alice.ctl(
        *f"org bootstrap --server {SERVER} --organisation acme --email alice@acme.example --name Alice --device-label desktop".split(),
        "--token-file", alice.file("token", token), "--password-file", alice.file("password", ALICE_PASSWORD),
    )
    until("the status line", lambda: alice.show()["StatusText"].startswith("1 of 1 devices unlocked"))
    return f"through the packages' own server; the status line follows: {alice.show()['StatusText']!r}"


def a_ceremony_comes_to_the_approval():
    invited = alice.ctl("invite", "user", "bob@acme.example", "--no-mail")
    noted["link"] = find(invited, "link")
    claiming = str(find(bob.ctl("claim", "--link-file", bob.file("link", noted["link"]), "--detach"), "id"))
    greeting = str(find(alice.ctl("greet", "bob@acme.example", "--detach"), "id"))

    def wait(person, ceremony, stage):
        return person.ctl("ceremony", "wait", ceremony, "--until", stage, "--timeout", "60")

    said = find(find(wait(bob, claiming, "say-code"), "say"), "code")
    wait(alice, greeting, "choose-code")
    alice.ctl("ceremony", "choose", greeting, "--code", said)
    back = find(find(wait(alice, greeting, "say-code"), "say"), "code")
    wait(bob, claiming, "choose-code")
    bob.ctl("ceremony", "choose", claiming, "--code", back)
    wait(bob, claiming, "identify")
    bob.ctl("ceremony", "identify", claiming, "--name", "Bob", "--device-label", "laptop")
    wait(alice, greeting, "approve")
    noted.update(claiming=claiming, greeting=greeting, codes=(said, back), wait=wait)
    return "codes said and chosen by parsecctl's steps on both sides"


def keys_open_by_a_credential():
    for person, password in ((alice, ALICE_PASSWORD), (bob, BOB_PASSWORD)):
        path = person.file("credential", password)
        person.drop_in("credential", f"[Service]\nLoadCredential=parsecd.password:{path}\n")
    # Message 7 is on its way when the greeter waits for the password.
    alice.ctl("ceremony", "approve", noted["greeting"], "--claimer-confirmed")
    noted["wait"](alice, noted["greeting"], "waiting-for-password")
    before = alice.show()
    os.kill(int(before["MainPID"]), 9)
    until("alice's daemon to be started again", lambda: alice.show()["NRestarts"] == "1" and alice.show()["ActiveState"] == "active")
    until("alice's keys", lambda: find(alice.ctl("device", "list"), "state") == "unlocked")
    need(alice.show()["MainPID"] != before["MainPID"], "it is the same process")
    return "alice's daemon killed after message 7: started again by systemd, unlocked by LoadCredential=parsecd.password"


def a_ceremony_survives_both_kills():
    noted["wait"](bob, noted["claiming"], "set-password")
    bob.ctl("ceremony", "finish", noted["claiming"], "--password-file", bob.file("password", BOB_PASSWORD))
    before = bob.show()
    os.kill(int(before["MainPID"]), 9)
    until("bob's daemon to be started again", lambda: bob.show()["NRestarts"] == "1" and bob.show()["ActiveState"] == "active")
    # Nobody does anything now.
    until("bob to be registered", lambda: find(bob.ctl("device", "list"), "registration") == "registered")
    until("bob's keys", lambda: find(bob.ctl("device", "list"), "state") == "unlocked")
    for person in (alice, bob):
        verified = person.ctl("trust", "verify")
        need((find(verified, "count"), find(verified, "users")) == (4, 2), f"{person.name}: {verified}")
    return "bob's daemon killed after the password: the enrolment completed by itself, and both verify a log of 4 certificates"


def a_credential_opens_but_does_not_vouch():
    refused = alice.ctl("invite", "user", "carol@acme.example", "--no-mail", good=(77,))
    need("confirmation_required" in str(refused), str(refused))
    alice.ctl("device", "unlock", "--password-file", alice.file("password", ALICE_PASSWORD))
    invited = alice.ctl("invite", "user", "carol@acme.example", "--no-mail")
    noted["link"] = find(invited, "link")
    noted["alias"] = find(invited, "link_alias")
    return "with keys opened by a credential nobody can invite until the password is given in this session"


def is_mounted(folder):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        return any(f" {folder} " in line and " fuse.parsec " in line for line in mounts)


def a_marked_safe_is_mounted_by_the_unit():
    if not os.path.exists("/dev/fuse"):
        return "LEFT OUT: this machine has no /dev/fuse"
    # As udev makes it everywhere; here it may be as the machine's kernel made it.
    os.chmod("/dev/fuse", 0o666)
    unit = alice.show("parsec-mounts.service")
    need(unit["ActiveState"] == "active", f"it does not run beside the daemon: {unit['ActiveState']}")
    folder = f"{alice.home}/Safes/Plans"
    alice.ctl("safe", "create", "Plans")
    alice.ctl("safe", "mount", "Plans", "--always")
    alice.run("sh", "-c", f"echo hello > {folder}/file")
    alice.ctl("device", "lock")
    until("the folder to go at the lock", lambda: not is_mounted(folder))
    alice.ctl("device", "unlock", "--password-file", alice.file("password", ALICE_PASSWORD))
    until("the folder to come at the unlocking", lambda: is_mounted(folder))
    need(alice.run("cat", f"{folder}/file").stdout == "hello\n", "the file is another one")
    need(run("ls", folder, check=False).returncode != 0, "root looks into it")
    # Unlocked by the credential.
    alice.systemctl("restart", "parsecd.service")
    until("the folder of the next daemon", lambda: is_mounted(folder) and alice.run("cat", f"{folder}/file", check=False).stdout == "hello\n")
    said = alice.run("journalctl", "--user", "-o", "cat", "-u", "parsec-mounts.service").stdout
    need(f"Plans is mounted on {folder}" in said, said)
    alice.systemctl("stop", "parsecd.service")
    until("the folder to go with the daemon", lambda: not is_mounted(folder))
    need(alice.show("parsec-mounts.service")["ActiveState"] == "inactive", "it outlives the daemon")
    need(alice.show()["ActiveState"] == "inactive", "something wakes the daemon that was stopped")
    alice.ctl("status")
    until("the folder of the daemon after it", lambda: is_mounted(folder))
    alice.ctl("safe", "unmount", "Plans", "--always")
    need(not is_mounted(folder), "it is still there")
    return "mounted at unlocking, gone at the lock, there again after a restart and a stop of the daemon, which it never wakes; the journal says so"


def a_hung_daemon_is_replaced():
    bob.drop_in("watchdog", "[Service]\nWatchdogSec=2\n")
    bob.systemctl("restart", "parsecd.service")
    before = bob.show()
    os.kill(int(before["MainPID"]), 19)
    until("the watchdog", lambda: bob.show()["NRestarts"] == "1" and bob.show()["ActiveState"] == "active")
    need(bob.show()["MainPID"] != before["MainPID"], "it is the same process")
    bob.ctl("status")
    return "SIGSTOP: killed by the watchdog and started again (WatchdogSec= set to 2 instead of 30 by a drop-in, to save time)"


def the_journal_has_fields_and_no_secret():
    entries = alice.journal()
    fields = set().union(*(entry.keys() for entry in entries))
    ours = sorted(name for name in fields if name.startswith("PARSEC"))
    need(ours, f"no field of ours among {sorted(fields)}")
    # runuser is this script's own: it logs the arguments it was given, and scripts give codes as arguments.
    lines = run("journalctl", "-o", "json", "--all").stdout.splitlines()
    everything = "\n".join(line for line in lines if '"_COMM":"runuser"' not in line)
    need("parsec_metadata" in everything and len(everything) > 10_000, "that is not the whole journal")
    secrets = [ALICE_PASSWORD, BOB_PASSWORD, noted["token"], noted["link"].split("#")[1], *noted["codes"]]
    # A code has four characters: only a word of its own counts.
    words = set(everything.replace('"', " ").replace("\\", " ").split())
    found = [secret for secret in secrets if (secret in everything if len(secret) > 4 else secret in words)]
    need(not found, f"the journal has {found}")
    return f"{len(entries)} entries of alice's daemon, with {', '.join(ours)}; no password, token, link or code in the journal"


def a_link_opens_a_terminal_and_stays_hidden():
    # A terminal as x-terminal-emulator starts one: -e PROGRAM ARGUMENTS.
    with open("/usr/local/bin/x-terminal-emulator", "w", encoding="ascii") as file:
        file.write('#!/bin/sh\nshift\nexec script --quiet --command "$*" /dev/null\n')
    os.chmod("/usr/local/bin/x-terminal-emulator", 0o755)
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": bob.home, "XDG_RUNTIME_DIR": bob.runtime, "TERM": "dumb", "LANG": "C.UTF-8"}
    # As the desktop would: the link is an argument until the handler runs.
    command = ["/usr/sbin/runuser", "-u", "bob", "--", "/usr/libexec/parsec/claim-link", noted["alias"]]
    keyboard, typing = os.pipe()
    terminal = subprocess.Popen(command, env=environment, stdin=keyboard, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    os.close(keyboard)
    try:
        until("the ceremony of the link", lambda: [c for c in find(bob.ctl("ceremony", "list"), "ceremonies") or [] if c["role"] == "claimer" and c["stage"] not in ("done", "closed")])
        secret = noted["alias"].split("#")[1].encode()
        lines = {name: read(f"/proc/{name}/cmdline") for name in os.listdir("/proc") if name.isdigit()}
        need(any(b"parsecctl\0claim" in line for line in lines.values()), "no terminal with parsecctl claim runs")
        seen = [line for name, line in lines.items() if int(name) != terminal.pid and secret in line]
        need(not seen, f"the link is an argument of {seen}")
        left = [name for name in os.listdir(bob.runtime) if name.startswith("parsec-link")]
        need(not left, f"left in the runtime folder: {left}")
        for ceremony in find(bob.ctl("ceremony", "list"), "ceremonies"):
            bob.ctl("ceremony", "cancel", str(ceremony["id"]), good=(0, 64, 68, 75))
    finally:
        os.close(typing)
        terminal.kill()
        terminal.wait()
    return "a claim runs in a terminal; the link is in no process's arguments but of whoever called the handler, and no file is left"


def read(path):
    """A file that may vanish meanwhile."""
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError:
        return b""


PROBE = "/usr/lib/parsec/probe.py"
# What can't be shown in a container on any machine's kernel: controllers that the machine keeps for itself, keyrings that the container's own
# filter refuses, and modules there are none of.
UNKNOWN_HERE = ("MemoryMax", "MemorySwapMax", "TasksMax", "ProtectKernelModules", "KeyringMode")


def judge(unit, control, lines, left_to_rights=()):
    """What the probe saw under the unit, beside what it saw without; every line of it, or why that is not enough."""
    free = {tuple(line.split()[1:3]) for line in control.splitlines() if line.startswith("directive")}
    wrong = [line for line in lines if line.startswith("need") and line.split()[2] != "yes"]
    shown = []
    for line in lines:
        if not line.startswith("directive"):
            continue
        _, name, verdict, *detail = line.split()
        if name in left_to_rights:
            continue
        proved = verdict == "yes" and (name, "yes") not in free
        shown.append(f"{name}: {'takes effect' if proved else 'already so without it' if verdict == 'yes' else verdict} ({' '.join(detail)})")
        if verdict == "no" or (verdict == "unknown" and name not in UNKNOWN_HERE):
            wrong.append(line)
    need(len(shown) > 20, f"only {shown}")
    need(not wrong, f"{unit}: {'; '.join(wrong)}")
    return f"every directive of {unit} that can be seen from inside\n    " + "\n    ".join(shown)


def probe_lines(runs, manager, invocation):
    """What the probe said in a unit's present run, once it is done."""
    said = runs("journalctl", manager, "-o", "cat", f"_SYSTEMD_INVOCATION_ID={invocation}").stdout
    lines = [line for line in said.splitlines() if line.startswith(("directive ", "need ", "probe done"))]
    return lines if lines and lines[-1] == "probe done" else None


def every_directive_of_the_daemon_takes_effect():
    run("install", "-D", "-m", "644", os.path.join(HERE, "probe.py"), PROBE)
    bob.systemctl("stop", "parsecd.service")
    before = f"{bob.runtime}/parsecd/probe-before"
    control = bob.run("systemd-run", "--user", "--quiet", "--wait", "--pipe", "--collect", "python3", PROBE, "--control", before).stdout
    bob.drop_in("probe", f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 {PROBE} --compare {before}\nRestart=no\n")
    bob.systemctl("start", "parsecd.service")
    invocation = bob.show()["InvocationID"]
    lines = until("the probe", lambda: probe_lines(bob.run, "--user", invocation))
    bob.run("rm", f"{bob.home}/.config/systemd/user/parsecd.service.d/probe.conf")
    bob.systemctl("daemon-reload")
    return judge("parsecd.service", control, lines)


def every_directive_of_the_server_takes_effect():
    run("systemctl", "stop", "parsec-metadata.service")
    before = "/var/lib/parsec-metadata/probe-before"
    settings = ("-p", "User=parsec-metadata", "-p", "StateDirectory=parsec-metadata")
    control = run("systemd-run", "--quiet", "--wait", "--pipe", "--collect", *settings, "python3", PROBE, "--control", before).stdout
    folder = "/etc/systemd/system/parsec-metadata.service.d"
    os.makedirs(folder)
    with open(f"{folder}/probe.conf", "w", encoding="ascii") as file:
        file.write(f"[Service]\nExecStart=\nExecStart=/usr/bin/python3 {PROBE} --compare {before}\nRestart=no\n")
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "parsec-metadata.service")
    invocation = properties("systemctl", "show", "parsec-metadata.service")["InvocationID"]
    lines = until("the probe", lambda: probe_lines(run, "--system", invocation))
    run("rm", "-r", folder, before)
    run("systemctl", "daemon-reload")
    run("systemctl", "start", "parsec-metadata.service")
    # Its user may not write there anyway; the probe looks for a file system that is read-only.
    return judge("parsec-metadata.service", control, lines, left_to_rights=("ProtectRuntime",))


def removal_stops_everything_and_purging_keeps_what_people_own():
    alice.ctl("status")
    running = int(alice.show()["MainPID"])
    server = int(properties("systemctl", "show", "parsec-metadata.service")["MainPID"])
    run("apt-get", "remove", "-y", "parsec", "parsec-metadata", env={**os.environ, "DEBIAN_FRONTEND": "noninteractive"})
    until("the programs to end", lambda: not any(os.path.exists(f"/proc/{pid}") for pid in (running, server)))
    for person in (alice, bob):
        left = os.listdir(f"{person.runtime}/parsecd") if os.path.isdir(f"{person.runtime}/parsecd") else []
        need(not [name for name in left if name.endswith(".sock")], f"sockets are left: {left}")
    said = run("dpkg", "--purge", "parsec", "parsec-metadata").stdout
    need("/var/lib/parsec-metadata" in said, "nobody is told where the log is kept")
    left = run("find", "/etc/systemd", "/etc/parsec", "-name", "parsecd*", "-o", "-name", "parsec-metadata*", "-o", "-name", "metadata.toml").stdout
    need(not left, f"left: {left}")
    need(os.path.exists(DATABASE) and os.path.isdir(f"{alice.home}/.local/share/parsec"), "what people own is gone")
    return "daemons and server stopped, sockets and links gone; homes and the organisations' log kept"


CHECKS = (
    the_machine_boots,
    packages_are_installed_while_people_are_logged_in,
    sockets_are_private_and_the_daemon_sleeps,
    the_first_question_starts_the_daemon,
    the_server_runs_as_a_system_service,
    its_configuration_file_counts,
    alice_founds_an_organisation,
    a_ceremony_comes_to_the_approval,
    keys_open_by_a_credential,
    a_ceremony_survives_both_kills,
    a_credential_opens_but_does_not_vouch,
    a_marked_safe_is_mounted_by_the_unit,
    a_hung_daemon_is_replaced,
    the_journal_has_fields_and_no_secret,
    a_link_opens_a_terminal_and_stays_hidden,
    every_directive_of_the_daemon_takes_effect,
    every_directive_of_the_server_takes_effect,
    removal_stops_everything_and_purging_keeps_what_people_own,
)


def main():
    with open(sys.argv[1], "w", encoding="utf-8", buffering=1) as out:
        for check in CHECKS:
            name = check.__name__.replace("_", " ")
            begun = time.monotonic()
            try:
                saw = check()
            except Exception as error:  # whatever went wrong, the reader wants to know where
                why = str(error) if isinstance(error, Failed) else traceback.format_exc()
                out.write(f"FAILED {name}: {why}\n")
                out.write(run("journalctl", "--no-pager", "-o", "short", "-n", "120", check=False).stdout)
                return
            out.write(f"ok {name} ({time.monotonic() - begun:.1f} s): {saw}\n")
        out.write(f"all {len(CHECKS)}\n")


main()

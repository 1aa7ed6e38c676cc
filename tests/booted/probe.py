#!/usr/bin/env python3
"""What a unit's directives do, seen from inside: run in the place of parsecd or parsec-metadata, under the same unit.

How a test uses it, inside a booted machine, for the user's unit (the system's works the same, without --user):

1. as the user, without any directive:      systemd-run --user --wait --pipe python3 probe.py --control FILE
2. with a drop-in for parsecd.service:      [Service]
                                            ExecStart=
                                            ExecStart=/usr/bin/python3 /usr/lib/parsec/probe.py --compare FILE
   then `systemctl --user start parsecd`, and the lines are in the journal (journalctl --user -o cat -u parsecd).

FILE lies in $XDG_RUNTIME_DIR/parsecd (mode 0700), which the unit leaves visible; the probe must lie below /usr, where
programs may be run. One line for each directive and each need:

    directive NAME yes|no|unknown DETAIL     it took effect, or not; unknown: this machine can't show it
    need NAME yes|no DETAIL                  what the daemon can't do without

The first run shows which probes can tell anything on this machine: a directive that says "yes" there, too, is not
proved by a "yes" in the second. The last line is "probe done". It tells the service manager READY=1, as the daemon does.
"""

import ctypes
import errno
import hashlib
import json
import mmap
import os
import signal
import socket
import stat
import subprocess
import sys

LIBC = ctypes.CDLL(None, use_errno=True)
NAMESPACES = ("user", "mnt", "ipc", "uts", "net")
CALLS = {  # x86_64, arm64
    "personality": (135, 92),
    "adjtimex": (159, 171),
    "ptrace": (101, 117),
    "syslog": (103, 116),
    "sched_setscheduler": (144, 119),
    "setpriority": (141, 140),
    "fchownat": (260, 54),
    "unshare": (272, 97),
    "keyctl": (250, 219),
}
COLUMN = 0 if os.uname().machine == "x86_64" else 1


def call(name, *arguments):
    """The result and the error's name of a system call."""
    ctypes.set_errno(0)
    wrapped = [ctypes.c_long(a) if isinstance(a, int) else a for a in arguments]
    result = LIBC.syscall(ctypes.c_long(CALLS[name][COLUMN]), *wrapped)
    return result, errno.errorcode.get(ctypes.get_errno(), "") if result < 0 else ""


def tried(action):
    """What went wrong with something, by name; nothing if it worked."""
    try:
        action()
        return ""
    except OSError as error:
        return errno.errorcode.get(error.errno, str(error.errno))


def in_child(action):
    """The same in a process of its own: how it ended."""
    child = os.fork()
    if child == 0:
        os._exit(action())
    _, status = os.waitpid(child, 0)
    if os.WIFSIGNALED(status):
        return signal.Signals(os.WTERMSIG(status)).name
    return os.WEXITSTATUS(status)


def status(key):
    with open("/proc/self/status", encoding="ascii", errors="replace") as lines:
        for line in lines:
            name, _, value = line.partition(":")
            if name == key:
                return value.strip()
    return ""


def mounts():
    """The topmost mount at each place: its options, its propagation, its root."""
    found = {}
    with open("/proc/self/mountinfo", encoding="utf-8", errors="replace") as lines:
        for line in lines:
            parts = line.split()
            found[parts[4]] = {
                "options": parts[5].split(","),
                "propagation": parts[6 : parts.index("-")],
                "root": parts[3],
                "type": parts[parts.index("-") + 1],
            }
    return found


def namespaces():
    return {name: os.readlink(f"/proc/self/ns/{name}") for name in NAMESPACES}


def own_cgroup():
    with open("/proc/self/cgroup", encoding="ascii") as lines:
        for line in lines:
            if line.startswith("0::"):
                return "/sys/fs/cgroup" + line.strip()[3:]
    return None


def cgroup_limit(name):
    folder = own_cgroup()
    try:
        with open(f"{folder}/{name}", encoding="ascii") as file:
            value = file.read().strip()
        return ("no" if value == "max" else "yes"), value
    except OSError:
        return "unknown", "no such controller here"


def write_in(folder, name="probe.tmp"):
    path = os.path.join(folder, name)

    def action():
        with open(path, "w", encoding="ascii") as file:
            file.write("x")
        os.unlink(path)

    return tried(action)


def data_folder():
    if os.environ.get("STATE_DIRECTORY"):
        return os.environ["STATE_DIRECTORY"]
    base = os.environ.get("XDG_DATA_HOME") or os.path.join(os.environ["HOME"], ".local/share")
    return os.path.join(base, "parsec")


def directives(before):
    """Name, verdict, detail of each."""
    table = mounts()
    spaces = namespaces()

    def other_than_before(name):
        old = before.get(name)
        return ("unknown" if old is None else "yes" if spaces[name] != old else "no"), spaces[name]

    def yes(good, detail):
        return ("yes" if good else "no"), detail

    yield "PrivateUsers", *other_than_before("user")
    yield "NoNewPrivileges", *yes(status("NoNewPrivs") == "1", status("NoNewPrivs"))
    yield "CapabilityBoundingSet", *yes(int(status("CapBnd"), 16) == 0, status("CapBnd"))
    yield "UMask", *yes(status("Umask") == "0077", status("Umask"))

    # The file system
    home, runtime = os.environ.get("HOME", "/"), os.environ.get("XDG_RUNTIME_DIR", "/run")
    root = table["/"]["options"]
    yield "ProtectSystem", *yes("ro" in root, ",".join(root))
    said = write_in(home) if os.environ.get("XDG_RUNTIME_DIR") else write_in("/home")
    yield "ProtectHome", *yes(said in ("EROFS", "ENOENT", "EACCES"), f"write: {said or 'allowed'}")
    said = write_in(runtime)
    yield "ProtectRuntime", *yes(said in ("EROFS", "ENOENT"), f"write in {runtime}: {said or 'allowed'}")
    tmp = table.get("/tmp", {"root": "none", "type": "none"})
    private = "systemd-private" in tmp["root"] or (tmp["type"] == "tmpfs" and not os.listdir("/tmp"))
    if os.environ.get("XDG_RUNTIME_DIR"):
        seen = sorted(set(os.listdir(home)) - {".config", ".local"})
        yield "TemporaryFileSystem.home", *yes(not seen, f"in the home: {' '.join(seen) or '-'}")
        seen = sorted(set(os.listdir(runtime)) - {"parsecd", "systemd", "credentials"})
        bus = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        said = tried(lambda: bus.connect(f"{runtime}/systemd/private"))
        yield "TemporaryFileSystem.runtime", *yes(not seen and said, f"{' '.join(seen) or '-'}; the manager: {said or 'answers'}")
    yield "PrivateTmp", *yes(private, f"{tmp['type']} {tmp['root']}")
    devices = set(os.listdir("/dev"))
    surplus = devices & {"console", "net", "fuse", "kmsg", "mem", "sda", "vda", "tty0", "tty1", "kvm"}
    yield "PrivateDevices", *yes(not surplus and "null" in devices, f"also has: {' '.join(sorted(surplus)) or '-'}")
    yield "PrivateMounts", *other_than_before("mnt")
    yield "PrivateIPC", *other_than_before("ipc")
    places = [data_folder(), "/tmp", "/dev/shm"]
    if os.environ.get("XDG_RUNTIME_DIR"):
        places.append(os.path.join(runtime, "parsecd"))
    for place in places:
        copy = os.path.join(place, "probe-program")

        def run_a_copy():
            with open("/bin/true", "rb") as program, open(copy, "wb") as file:
                file.write(program.read())
            os.chmod(copy, 0o700)
            subprocess.run([copy], check=False)

        said = tried(run_a_copy)
        yield f"NoExecPaths.{place}", *yes(said, f"own copy of a program: {said or 'runs'}")
        if os.path.exists(copy):
            os.unlink(copy)
    said = tried(lambda: subprocess.run(["/usr/bin/true"], check=True))
    yield "ExecPaths", *yes(not said, f"/usr/bin/true: {said or 'runs'}")

    # The kernel
    sysctl = table.get("/proc/sys", {"options": ["-"]})["options"]
    gone = not os.path.exists("/proc/sys")
    yield "ProtectKernelTunables", *yes(gone or "ro" in sysctl, f"/proc/sys {'gone' if gone else ','.join(sysctl)}")
    said = tried(lambda: os.listdir("/usr/lib/modules"))
    yield "ProtectKernelModules", *(("unknown", "no modules") if said == "ENOENT" else yes(said, said or "listed"))
    result, said = call("syslog", 10, 0, 0)
    kmsg = tried(lambda: open("/proc/kmsg", "rb").close())
    yield "ProtectKernelLogs", *yes(result < 0 and kmsg, f"size: {said or result}, /proc/kmsg: {kmsg}")
    folder = own_cgroup()
    said = tried(lambda: (os.mkdir(f"{folder}/probe"), os.rmdir(f"{folder}/probe"))) if folder else "ENOENT"
    yield "ProtectControlGroups", *yes(said == "EROFS", f"a group of its own: {said or 'made'}")
    result, said = call("adjtimex", ctypes.create_string_buffer(512))
    yield "ProtectClock", *yes(said == "EPERM", f"reading the clock's state: {said or 'allowed'}")
    yield "ProtectHostname", *other_than_before("uts")
    # Raw packets take a capability that no user has: the filter is seen by its own answer, which comes first.
    said = tried(lambda: socket.socket(socket.AF_PACKET, socket.SOCK_RAW).close())
    yield "RestrictAddressFamilies", *yes(said == "EAFNOSUPPORT", f"raw packets: {said or 'allowed'}")
    ended = in_child(lambda: 1 if call("unshare", 0x10000000)[0] < 0 else 0)
    yield "RestrictNamespaces", *yes(ended == 1, f"a user namespace: {'refused' if ended else 'made'}")
    # A priority that doesn't exist: the kernel would say EINVAL before it looks at rights.
    result, said = call("sched_setscheduler", 0, 2, ctypes.byref(ctypes.c_int(0)))
    yield "RestrictRealtime", *yes(said == "EPERM", f"round robin: {said}")

    def writable_and_executable():
        mmap.mmap(-1, 4096, prot=mmap.PROT_READ | mmap.PROT_WRITE | mmap.PROT_EXEC).close()

    said = tried(writable_and_executable)
    yield "MemoryDenyWriteExecute", *yes(said in ("EPERM", "EACCES"), said or "mapped")
    suid = os.path.join(data_folder(), "probe-suid")
    os.close(os.open(suid, os.O_CREAT | os.O_WRONLY, 0o600))
    said = tried(lambda: os.chmod(suid, 0o4700))
    yield "RestrictSUIDSGID", *yes(said == "EPERM", f"chmod u+s: {said or 'allowed'}")
    result, said = call("fchownat", -100, suid.encode(), os.getuid(), -1, 0)
    yield "SystemCallFilter.privileged", *yes(said == "EPERM", f"chown to myself: {said or 'allowed'}")
    os.unlink(suid)
    result, said = call("setpriority", 0, 0, os.getpriority(os.PRIO_PROCESS, 0))
    yield "SystemCallFilter.resources", *yes(said == "EPERM", f"keeping my niceness: {said or 'allowed'}")
    ended = in_child(lambda: 1 if call("ptrace", 0, 0, 0, 0)[0] < 0 else 0)
    yield "SystemCallFilter.debug", *yes(ended == 1, f"asking to be traced: {'refused' if ended else 'allowed'}")
    result, said = call("personality", 0x0040000)
    if result >= 0:
        call("personality", result)
    yield "LockPersonality", *yes(said == "EPERM", f"another personality: {said or 'allowed'}")
    if COLUMN == 0:
        # getpid by the number of the x32 interface: a kernel without it says ENOSYS, the filter stops it before.
        ended = in_child(lambda: 1 if LIBC.syscall(ctypes.c_long(0x40000000 + 39)) < 0 and ctypes.get_errno() == errno.ENOSYS else 0)
        yield "SystemCallArchitectures", *yes(ended == "SIGSYS", f"x32: {ended}")
    # KEYCTL_GET_KEYRING_ID of the session keyring
    result, said = call("keyctl", 0, -3, 0)
    old = before.get("keyring")
    verdict = "unknown" if said or old is None else "yes" if result != old else "no"
    yield "KeyringMode", verdict, said or str(result)
    for name, file in (("MemoryMax", "memory.max"), ("MemorySwapMax", "memory.swap.max"), ("TasksMax", "pids.max")):
        yield name, *cgroup_limit(file)


def needs():
    """What must work all the same."""
    said = write_in(data_folder())
    yield "data", not said, said or data_folder()
    if os.environ.get("XDG_RUNTIME_DIR"):
        folder = os.path.join(os.environ["XDG_RUNTIME_DIR"], "parsecd")
        said = write_in(folder)
        yield "runtime", not said, said or folder
    for family in ("AF_UNIX", "AF_INET", "AF_INET6"):
        said = tried(lambda: socket.socket(getattr(socket, family), socket.SOCK_STREAM).close())
        # A machine without IPv6 is no fault of the unit.
        yield family, not said or (family == "AF_INET6" and said == "EAFNOSUPPORT"), said or "made"
    if os.environ.get("XDG_RUNTIME_DIR"):
        # Which addresses this machine has: the peer-to-peer transport names them in links, and asks for others on each interface.
        said = tried(lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, socket.NETLINK_ROUTE).close())
        yield "AF_NETLINK", not said, said or "made"
    said = tried(lambda: socket.getaddrinfo("localhost", 443))
    yield "names", not said, said or "localhost resolved"
    said = tried(lambda: open("/etc/resolv.conf", "rb").close())
    yield "resolv.conf", said in ("", "ENOENT"), said or "readable"
    said = tried(lambda: os.listdir("/etc/ssl/certs"))
    yield "authorities", said in ("", "ENOENT"), said or "readable"
    credentials = os.environ.get("CREDENTIALS_DIRECTORY")
    if credentials:
        said = tried(lambda: [open(os.path.join(credentials, name), "rb").close() for name in os.listdir(credentials)])
        yield "credentials", not said and bool(os.listdir(credentials)), said or " ".join(os.listdir(credentials))
    yield "getrandom", len(os.getrandom(32)) == 32, ""
    try:
        hashlib.scrypt(b"x", salt=b"y" * 16, n=2**18, r=8, p=1, maxmem=300 * 2**20, dklen=32)
        yield "scrypt", True, "256 MiB"
    except (MemoryError, ValueError) as error:
        yield "scrypt", False, str(error)
    yield "sessions", os.getsid(os.getppid()) >= 0, "getsid"


def ready():
    name = os.environ.get("NOTIFY_SOCKET")
    if not name:
        return False, "nobody asked"
    end = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    said = tried(lambda: end.sendto(b"READY=1\n", name))
    return not said, said or "told"


def main():
    mode, path = (sys.argv + ["", ""])[1:3]
    before = {}
    if mode == "--compare" and path:
        with open(path, encoding="utf-8") as file:
            before = json.load(file)
    if mode == "--control" and path:
        spaces = namespaces()
        result, said = call("keyctl", 0, -3, 0)
        if not said:
            spaces["keyring"] = result
        with open(path, "w", encoding="utf-8") as file:
            json.dump(spaces, file)
        before = spaces
    os.makedirs(data_folder(), mode=0o700, exist_ok=True)
    assert stat.S_ISDIR(os.stat(data_folder()).st_mode)
    for name, verdict, detail in directives(before):
        print("directive", name, verdict, detail)
    for name, good, detail in needs():
        print("need", name, "yes" if good else "no", detail)
    told, detail = ready()
    print("need", "notify", "yes" if told or mode == "--control" else "no", detail)
    print("probe done", flush=True)


main()

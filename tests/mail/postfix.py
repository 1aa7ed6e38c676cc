"""A postfix of its own for the tests of mail: STARTTLS required, delivery into maildirs. Takes root, and the package postfix.

Usage: postfix.py FOLDER. Writes FOLDER/ca.pem, then the port to FOLDER/ready; mails appear under FOLDER/mail/new.
Ends on SIGTERM, and postfix with it.
"""

import os
import pwd
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import trustme

FOLDER = Path(sys.argv[1])
ETC = FOLDER / "etc"

MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
maillog_file = {folder}/log/postfix.log
maillog_file_prefixes = {folder}
myhostname = localhost
mynetworks = 127.0.0.0/8
mydestination =
alias_maps =
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
virtual_mailbox_domains = acme.example
virtual_mailbox_base = {folder}
virtual_mailbox_maps = static:mail/
virtual_uid_maps = static:{uid}
virtual_gid_maps = static:{gid}
smtpd_tls_security_level = encrypt
smtpd_tls_chain_files = {folder}/chain.pem
smtpd_relay_restrictions = permit_mynetworks, reject
"""

MASTER = """
127.0.0.1:{port} inet n - n - - smtpd
cleanup   unix  n - n - 0 cleanup
qmgr      unix  n - n 300 1 qmgr
rewrite   unix  - - n - - trivial-rewrite
bounce    unix  - - n - 0 bounce
defer     unix  - - n - 0 bounce
trace     unix  - - n - 0 bounce
tlsmgr    unix  - - n 1000? 1 tlsmgr
proxymap  unix  - - n - - proxymap
error     unix  - - n - - error
virtual   unix  - n n - - virtual
anvil     unix  - - n - 1 anvil
postlog   unix-dgram n - n - 1 postlogd
"""


def postfix(*arguments: str) -> None:
    subprocess.run(["postfix", "-c", str(ETC), *arguments], check=True)


def main() -> None:
    owner = pwd.getpwnam("postfix")
    os.chmod(FOLDER, 0o755)
    for name in ("etc", "queue", "data", "log", "mail"):
        (FOLDER / name).mkdir()
    for name in ("new", "cur", "tmp"):
        (FOLDER / "mail" / name).mkdir()
    for name in ("data", "mail", "mail/new", "mail/cur", "mail/tmp"):
        shutil.chown(FOLDER / name, owner.pw_uid, owner.pw_gid)
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    certificate.private_key_and_cert_chain_pem.write_to_path(str(FOLDER / "chain.pem"))
    os.chmod(FOLDER / "chain.pem", 0o600)
    authority.cert_pem.write_to_path(str(FOLDER / "ca.pem"))
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    (ETC / "main.cf").write_text(MAIN.format(folder=FOLDER, uid=owner.pw_uid, gid=owner.pw_gid))
    (ETC / "master.cf").write_text(MASTER.format(port=port))
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    postfix("start")
    try:
        (FOLDER / ".ready").write_text(f"{port}\n")
        os.rename(FOLDER / ".ready", FOLDER / "ready")
        signal.sigwait({signal.SIGTERM, signal.SIGINT})
    finally:
        postfix("stop")


main()

"""A real SMTP server for the tests of mail: STARTTLS with a certificate of its own CA, then AUTH, then delivery to a folder.

Usage: smtp.py FOLDER. Writes FOLDER/ca.pem, then the port to FOLDER/ready, then each mail to FOLDER/mail-N.eml.
Refuses mail without encryption, and any user but `parsec` with the password in FOLDER/password.
"""

import asyncio
import os
import signal
import ssl
import sys
from pathlib import Path

import trustme
from aiosmtpd.controller import UnthreadedController
from aiosmtpd.smtp import AuthResult, LoginPassword

FOLDER = Path(sys.argv[1])


def write(name: str, data: bytes) -> None:
    """Whole or not at all: the test waits for the name."""
    aside = FOLDER / f".{name}"
    aside.write_bytes(data)
    os.rename(aside, FOLDER / name)


class Deliver:
    count = 0

    async def handle_DATA(self, server, session, envelope):
        if session.ssl is None or not session.authenticated:
            return "530 encrypt and authenticate first"
        Deliver.count += 1
        head = f"X-Envelope: {envelope.mail_from} -> {', '.join(envelope.rcpt_tos)}\r\n"
        write(f"mail-{Deliver.count}.eml", head.encode() + envelope.original_content)
        return "250 taken"


def authenticate(server, session, envelope, mechanism, data):
    password = (FOLDER / "password").read_bytes().strip()
    known = isinstance(data, LoginPassword) and data.login == b"parsec" and data.password == password
    return AuthResult(success=known, handled=False)


def main() -> None:
    authority = trustme.CA()
    certificate = authority.issue_cert("localhost", "127.0.0.1")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate.configure_cert(context)
    authority.cert_pem.write_to_path(str(FOLDER / "ca.pem"))
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    controller = UnthreadedController(
        Deliver(),
        hostname="127.0.0.1",
        port=0,
        loop=loop,
        tls_context=context,
        require_starttls=True,
        authenticator=authenticate,
        auth_required=True,
    )
    controller.begin()
    port = controller.server.sockets[0].getsockname()[1]
    write("ready", f"{port}\n".encode())
    for ending in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(ending, loop.stop)
    loop.run_forever()


main()

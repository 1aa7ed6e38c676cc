"""A certificate for a server of a test, of a CA of its own: `certificate.py FOLDER ADDRESS` writes ca.pem, chain.pem and key.pem."""

import sys
from pathlib import Path

import trustme

folder, address = Path(sys.argv[1]), sys.argv[2]
authority = trustme.CA()
certificate = authority.issue_cert(address)
authority.cert_pem.write_to_path(folder / "ca.pem")
chain = b"".join(part.bytes() for part in certificate.cert_chain_pems)
(folder / "chain.pem").write_bytes(chain)
certificate.private_key_pem.write_to_path(folder / "key.pem")

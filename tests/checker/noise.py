"""Noise_NNpsk0_25519_ChaChaPoly_SHA256 (the Noise Protocol Framework, revision 34), slowly.

Written from that document. Decides what the two handshake messages are, and what the channel after them says. Refuses by giving nothing;
whether a public key is sound is the caller's question.
"""

import hashlib
import hmac

import hpke
import sealed

NAME = b"Noise_NNpsk0_25519_ChaChaPoly_SHA256"


def hkdf(salt, data, info, length):
    """HKDF-SHA256, at most three blocks of it."""
    key, out, block = hmac.new(salt, data, hashlib.sha256).digest(), b"", b""
    for number in (1, 2, 3):
        block = hmac.new(key, block + info + bytes([number]), hashlib.sha256).digest()
        out += block
    return out[:length]


def nonce(number):
    return bytes(4) + number.to_bytes(8, "little")


class Handshake:
    """One side's, up to message 1: `claimer` begins."""

    def __init__(self, prologue, psk, ephemeral):
        self.ephemeral, self.psk = ephemeral, psk
        self.public = hpke.x25519(ephemeral, hpke.BASE)
        # The name is longer than a hash, so it is hashed.
        self.h = self.chain = hashlib.sha256(NAME).digest()
        self.key, self.number = None, 0
        self.mix_hash(prologue)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, data):
        both = hkdf(self.chain, data, b"", 64)
        self.chain, self.key, self.number = both[:32], both[32:], 0

    def mix_psk(self):
        three = hkdf(self.chain, self.psk, b"", 96)
        self.chain = three[:32]
        self.mix_hash(three[32:64])
        self.key, self.number = three[64:], 0

    def public_said(self, public):
        self.mix_hash(public)
        self.mix_key(public)

    def closed(self):
        """An empty payload."""
        tag = sealed.closed(self.key, nonce(self.number), self.h, b"")
        self.mix_hash(tag)
        self.number += 1
        return tag

    def opened(self, tag):
        found = sealed.opened_ietf(self.key, nonce(self.number), self.h, tag)
        self.mix_hash(tag)
        self.number += 1
        return found

    def write(self, second, theirs=None):
        """This side's half."""
        if not second:
            self.mix_psk()
        self.public_said(self.public)
        if second:
            self.mix_key(hpke.x25519(self.ephemeral, theirs))
        return self.public + self.closed()

    def read(self, second, message):
        """Whether the other side's half opens."""
        if not second:
            self.mix_psk()
        self.public_said(message[:32])
        if second:
            self.mix_key(hpke.x25519(self.ephemeral, message[:32]))
        return self.opened(message[32:]) == b""

    def split(self):
        """The claimer's sending key, the greeter's."""
        both = hkdf(self.chain, b"", b"", 64)
        return both[:32], both[32:]

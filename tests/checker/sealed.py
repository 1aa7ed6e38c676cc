"""ChaCha20-Poly1305 (RFC 8439), and XChaCha20-Poly1305 (draft-irtf-cfrg-xchacha, for the longer nonce), slowly.

Decides whether a ciphertext opens, and what one is. Refuses by giving nothing.
"""

import hmac
import struct

CONSTANTS = (0x61707865, 0x3320646E, 0x79622D32, 0x6B206574)
ROUNDS = ((0, 4, 8, 12), (1, 5, 9, 13), (2, 6, 10, 14), (3, 7, 11, 15), (0, 5, 10, 15), (1, 6, 11, 12), (2, 7, 8, 13), (3, 4, 9, 14))


def turn(number, by):
    return (number << by | number >> (32 - by)) & 0xFFFFFFFF


def mixed(state):
    state = list(state)
    for _ in range(10):
        for a, b, c, d in ROUNDS:
            for one, two, three, by in ((a, b, d, 16), (c, d, b, 12), (a, b, d, 8), (c, d, b, 7)):
                state[one] = (state[one] + state[two]) & 0xFFFFFFFF
                state[three] = turn(state[three] ^ state[one], by)
    return state


def words(data):
    return struct.unpack("<%dI" % (len(data) // 4), data)


def stream(key, nonce, length, count=0):
    out = b""
    while len(out) < length:
        state = CONSTANTS + words(key) + (count,) + words(nonce)
        out += struct.pack("<16I", *((a + b) & 0xFFFFFFFF for a, b in zip(mixed(state), state)))
        count += 1
    return out[:length]


def tag(key, message):
    r = int.from_bytes(key[:16], "little") & 0x0FFFFFFC0FFFFFFC0FFFFFFC0FFFFFFF
    total = 0
    for at in range(0, len(message), 16):
        total = (total + int.from_bytes(message[at : at + 16] + b"\x01", "little")) * r % (2**130 - 5)
    return (total + int.from_bytes(key[16:], "little") & (1 << 128) - 1).to_bytes(16, "little")


def padded(data):
    return data + bytes(-len(data) % 16)


def mixed_over(text, key, nonce):
    return bytes(a ^ b for a, b in zip(text, stream(key, nonce, len(text), 1)))


def tag_of(key, nonce, ad, text):
    lengths = struct.pack("<QQ", len(ad), len(text))
    return tag(stream(key, nonce, 32), padded(ad) + padded(text) + lengths)


def closed(key, nonce, ad, plaintext):
    """The ciphertext and its tag, by a nonce of 12 bytes."""
    text = mixed_over(plaintext, key, nonce)
    return text + tag_of(key, nonce, ad, text)


def opened_ietf(key, nonce, ad, sealed):
    """What was sealed by a nonce of 12 bytes, or nothing."""
    if len(sealed) < 16:
        return None
    text, given = sealed[:-16], sealed[-16:]
    return mixed_over(text, key, nonce) if hmac.compare_digest(tag_of(key, nonce, ad, text), given) else None


def shorter(key, nonce):
    """Key and nonce of 12 bytes, for a nonce of 24."""
    state = mixed(CONSTANTS + words(key) + words(nonce[:16]))
    return struct.pack("<8I", *state[:4], *state[12:]), bytes(4) + nonce[16:]


def closed_long(key, nonce, ad, plaintext):
    """The ciphertext and its tag, by a nonce of 24 bytes."""
    return closed(*shorter(key, nonce), ad, plaintext)


def opened(key, nonce, ad, sealed):
    """What was sealed by a nonce of 24 bytes, or nothing."""
    return opened_ietf(*shorter(key, nonce), ad, sealed)

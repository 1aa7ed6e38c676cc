"""AES-256-GCM (FIPS 197, NIST SP 800-38D), slowly.

Decides whether a ciphertext opens. Refuses by giving nothing.
"""

import hmac


def doubled(byte):
    return (byte << 1 ^ 0x11B if byte & 0x80 else byte << 1) & 0xFF


def product(a, b):
    """In the field of AES."""
    total = 0
    while b:
        if b & 1:
            total ^= a
        a, b = doubled(a), b >> 1
    return total


def substitutions():
    """FIPS 197, section 5.1.1: the inverse, then an affine map."""
    box = []
    for byte in range(256):
        inverse = next((other for other in range(256) if product(byte, other) == 1), 0)
        turned = inverse
        for by in range(1, 5):
            turned ^= (inverse << by | inverse >> (8 - by)) & 0xFF
        box.append(turned ^ 0x63)
    return box


BOX = substitutions()
ROUNDS = 14


def round_keys(key):
    words, constant = [list(key[at : at + 4]) for at in range(0, 32, 4)], 1
    while len(words) < 4 * (ROUNDS + 1):
        word = list(words[-1])
        if len(words) % 8 == 0:
            word = [BOX[byte] for byte in word[1:] + word[:1]]
            word[0] ^= constant
            constant = doubled(constant)
        elif len(words) % 8 == 4:
            word = [BOX[byte] for byte in word]
        words.append([a ^ b for a, b in zip(word, words[-8])])
    return [sum(words[at : at + 4], []) for at in range(0, len(words), 4)]


def block(keys, data):
    state = [a ^ b for a, b in zip(data, keys[0])]
    for number in range(1, ROUNDS + 1):
        state = [BOX[byte] for byte in state]
        # Row r of the columns moves r places.
        state = [state[(4 * (at // 4 + at % 4) + at % 4) % 16] for at in range(16)]
        if number < ROUNDS:
            mixed = []
            for at in range(0, 16, 4):
                a = state[at : at + 4]
                for row in range(4):
                    mixed.append(doubled(a[row]) ^ doubled(a[(row + 1) % 4]) ^ a[(row + 1) % 4] ^ a[(row + 2) % 4] ^ a[(row + 3) % 4])
            state = mixed
        state = [a ^ b for a, b in zip(state, keys[number])]
    return bytes(state)


def multiplied(x, y):
    """SP 800-38D, section 6.3: the bits are counted from the left."""
    total = 0
    for at in range(127, -1, -1):
        if x >> at & 1:
            total ^= y
        y = y >> 1 ^ (0xE1 << 120 if y & 1 else 0)
    return total


def padded(data):
    return data + bytes(-len(data) % 16)


def tag_of(keys, nonce, ad, text):
    h = int.from_bytes(block(keys, bytes(16)), "big")
    lengths = (8 * len(ad)).to_bytes(8, "big") + (8 * len(text)).to_bytes(8, "big")
    total, data = 0, padded(ad) + padded(text) + lengths
    for at in range(0, len(data), 16):
        total = multiplied(total ^ int.from_bytes(data[at : at + 16], "big"), h)
    first = int.from_bytes(block(keys, nonce + (1).to_bytes(4, "big")), "big")
    return (total ^ first).to_bytes(16, "big")


def opened(key, nonce, ad, sealed):
    """What was sealed by a nonce of 12 bytes, or nothing."""
    if len(sealed) < 16:
        return None
    text, given, keys = sealed[:-16], sealed[-16:], round_keys(key)
    if not hmac.compare_digest(tag_of(keys, nonce, ad, text), given):
        return None
    stream = b"".join(block(keys, nonce + (2 + at // 16).to_bytes(4, "big")) for at in range(0, len(text), 16))
    return bytes(a ^ b for a, b in zip(text, stream))

"""Boxes: HPKE in base mode (RFC 9180) with X-Wing, HKDF-SHA256 and ChaCha20-Poly1305, slowly.

Written from FIPS 203, RFC 7748, RFC 9180, draft-connolly-cfrg-xwing-kem and draft-ietf-hpke-pq. Decides which keys are sound, what a box is and
whether one opens. Refuses by giving nothing.
"""

import hashlib
import hmac

import sealed

# --- ML-KEM-768 (FIPS 203): n = 256, k = 3, both noises of 2, ciphertexts of 10 and 4 bits

Q = 3329
K = 3
N = 256


def bit_reverse(number):
    return int("{:07b}".format(number)[::-1], 2)


ZETAS = [pow(17, bit_reverse(place), Q) for place in range(128)]
GAMMAS = [pow(17, 2 * bit_reverse(place) + 1, Q) for place in range(128)]


def byte_encode(numbers, bits):
    whole = sum(number << (bits * at) for at, number in enumerate(numbers))
    return whole.to_bytes(len(numbers) * bits // 8, "little")


def byte_decode(data, bits):
    whole, mask = int.from_bytes(data, "little"), (1 << bits) - 1
    return [whole >> (bits * at) & mask for at in range(len(data) * 8 // bits)]


def compress(numbers, bits):
    return [((number << bits) + Q // 2) // Q % (1 << bits) for number in numbers]


def decompress(numbers, bits):
    return [(number * Q + (1 << (bits - 1))) >> bits for number in numbers]


def sample_ntt(rho, column, row):
    """Algorithm 7: three bytes give two numbers, those of Q and above are passed over."""
    length = 1024
    while True:
        stream, found = hashlib.shake_128(rho + bytes([column, row])).digest(length), []
        for number in byte_decode(stream[: length // 3 * 3], 12):
            if number < Q:
                found.append(number)
        if len(found) >= N:
            return found[:N]
        length *= 2


def sample_cbd(seed, place):
    """Algorithm 8, with two bits each."""
    bits = byte_decode(hashlib.shake_256(seed + bytes([place])).digest(128), 1)
    return [(bits[4 * at] + bits[4 * at + 1] - bits[4 * at + 2] - bits[4 * at + 3]) % Q for at in range(N)]


def ntt(numbers):
    numbers, zeta, width = list(numbers), 1, 128
    while width >= 2:
        for start in range(0, N, 2 * width):
            for at in range(start, start + width):
                turned = ZETAS[zeta] * numbers[at + width] % Q
                numbers[at], numbers[at + width] = (numbers[at] + turned) % Q, (numbers[at] - turned) % Q
            zeta += 1
        width //= 2
    return numbers


def inverse_ntt(numbers):
    numbers, zeta, width = list(numbers), 127, 2
    while width <= 128:
        for start in range(0, N, 2 * width):
            for at in range(start, start + width):
                low, high = numbers[at], numbers[at + width]
                numbers[at], numbers[at + width] = (low + high) % Q, ZETAS[zeta] * (high - low) % Q
            zeta -= 1
        width *= 2
    return [number * 3303 % Q for number in numbers]


def multiply_ntts(one, two):
    """Of two in NTT form: pairs, modulo X^2 - gamma."""
    out = []
    for at in range(128):
        a, b, c, d = one[2 * at], one[2 * at + 1], two[2 * at], two[2 * at + 1]
        out += [(a * c + b * d * GAMMAS[at]) % Q, (a * d + b * c) % Q]
    return out


def add(*many):
    return [sum(numbers) % Q for numbers in zip(*many)]


def dot(ones, twos):
    return add(*(multiply_ntts(one, two) for one, two in zip(ones, twos)))


def g(data):
    whole = hashlib.sha3_512(data).digest()
    return whole[:32], whole[32:]


def ml_kem_key_gen(d, z):
    """Algorithm 16: the secret vector and z, the public key."""
    rho, sigma = g(d + bytes([K]))
    secret = [ntt(sample_cbd(sigma, place)) for place in range(K)]
    errors = [ntt(sample_cbd(sigma, K + place)) for place in range(K)]
    public = [
        add(dot([sample_ntt(rho, column, row) for column in range(K)], secret), errors[row]) for row in range(K)
    ]
    return (secret, z), b"".join(byte_encode(one, 12) for one in public) + rho


def k_pke_encrypt(key, message, coins):
    """Algorithm 14."""
    public, rho = [byte_decode(key[384 * at : 384 * (at + 1)], 12) for at in range(K)], key[1152:]
    chosen = [ntt(sample_cbd(coins, place)) for place in range(K)]
    errors = [sample_cbd(coins, K + place) for place in range(K)]
    u = [
        add(inverse_ntt(dot([sample_ntt(rho, row, column) for column in range(K)], chosen)), errors[row])
        for row in range(K)
    ]
    carried = decompress(byte_decode(message, 1), 1)
    v = add(inverse_ntt(dot(public, chosen)), sample_cbd(coins, 2 * K), carried)
    return b"".join(byte_encode(compress(one, 10), 10) for one in u) + byte_encode(compress(v, 4), 4)


def ml_kem_encaps(key, message):
    """Algorithm 17: the secret, the ciphertext."""
    secret, coins = g(message + hashlib.sha3_256(key).digest())
    return secret, k_pke_encrypt(key, message, coins)


def ml_kem_decaps(private, key, ciphertext):
    """Algorithm 18."""
    vector, z = private
    u = [decompress(byte_decode(ciphertext[320 * at : 320 * (at + 1)], 10), 10) for at in range(K)]
    v = decompress(byte_decode(ciphertext[960:], 4), 4)
    noisy = inverse_ntt(dot(vector, [ntt(one) for one in u]))
    message = byte_encode(compress([(a - b) % Q for a, b in zip(v, noisy)], 1), 1)
    secret, again = ml_kem_encaps(key, message)
    return secret if again == ciphertext else hashlib.shake_256(z + ciphertext).digest(32)


# --- X25519 (RFC 7748)

P = 2**255 - 19
BASE = (9).to_bytes(32, "little")


def x25519(scalar, point):
    number = int.from_bytes(scalar, "little") & ((1 << 254) - 8) | 1 << 254
    u = (int.from_bytes(point, "little") & ((1 << 255) - 1)) % P
    one, two, swapped = (1, 0), (u, 1), 0
    for at in range(254, -1, -1):
        bit = number >> at & 1
        if bit != swapped:
            one, two, swapped = two, one, bit
        a, b = (one[0] + one[1]) % P, (one[0] - one[1]) % P
        c, d = (two[0] + two[1]) % P, (two[0] - two[1]) % P
        aa, bb, da, cb = a * a % P, b * b % P, d * a % P, c * b % P
        e = (aa - bb) % P
        two = (pow(da + cb, 2, P), u * pow(da - cb, 2, P) % P)
        one = (aa * bb % P, e * (aa + 121665 * e) % P)
    if swapped:
        one = two
    return (one[0] * pow(one[1], P - 2, P) % P).to_bytes(32, "little")


# --- X-Wing

LABEL = bytes.fromhex("5c2e2f2f5e5c")


def key_pair(seed):
    """Both private keys of a seed, and the public key."""
    whole = hashlib.shake_256(seed).digest(96)
    private, public = ml_kem_key_gen(whole[:32], whole[32:64])
    return (private, whole[64:]), public + x25519(whole[64:], BASE)


def combine(first, second, point, key):
    return hashlib.sha3_256(first + second + point + key[1184:] + LABEL).digest()


def encapsulate(key, randomness):
    """The secret, and what carries it to the key."""
    first, ciphertext = ml_kem_encaps(key[:1184], randomness[:32])
    point = x25519(randomness[32:], BASE)
    return combine(first, x25519(randomness[32:], key[1184:]), point, key), ciphertext + point


def decapsulate(seed, carried):
    (private, scalar), key = key_pair(seed)
    first, point = ml_kem_decaps(private, key[:1184], carried[:1088]), carried[1088:]
    return combine(first, x25519(scalar, point), point, key)


def reduced(key):
    """Whether every number of the ML-KEM half is in its one spelling."""
    return all(number < Q for number in byte_decode(key[:1152], 12))


# --- HPKE, one message in base mode

SUITE = b"HPKE" + bytes.fromhex("647a00010003")


def extract(salt, label, data):
    return hmac.new(salt, b"HPKE-v1" + SUITE + label + data, hashlib.sha256).digest()


def expand(key, label, context, length):
    """At most 32 bytes: one block of HKDF."""
    about = length.to_bytes(2, "big") + b"HPKE-v1" + SUITE + label + context
    return hmac.new(key, about + b"\x01", hashlib.sha256).digest()[:length]


def key_schedule(secret, info):
    """Key and nonce of the first message."""
    context = b"\0" + extract(b"", b"psk_id_hash", b"") + extract(b"", b"info_hash", info)
    whole = extract(secret, b"secret", b"")
    return expand(whole, b"key", context, 32), expand(whole, b"base_nonce", context, 12)


def seal(key, info, associated, text, randomness):
    secret, carried = encapsulate(key, randomness)
    return carried + sealed.closed(*key_schedule(secret, info), associated, text)


def open_(seed, info, associated, box):
    """The plaintext, or nothing. Whether the X25519 half of the box is sound is the caller's question."""
    if len(box) < 1120 + 16:
        return None
    return sealed.opened_ietf(*key_schedule(decapsulate(seed, box[:1120]), info), associated, box[1120:])

"""An independent reader of Parsec's logs, receipts and codes, written from docs/protocol.md alone.

Decides by the rules of that document which certificate of a log is the first that may not stand there. Needs nothing but Python: the
signatures are checked here too, slowly. Refuses what it does not know by saying so, never by guessing.

    check.py log FILE        a log: {"organisation": ..., "root": hex, "envelopes": [hex, ...]}
    check.py file FILE       an evidence file: an exported log, a fork proof, an enrolment receipt
    check.py safe FILE       a safe: {"organisation": ..., "root": hex, "envelopes": [hex, ...], "safe": hex, "items": [[0 | 1, hex], ...]},
                             an item being a certificate or a record; with a member's "user" and "seed" and with "rings", "parts" and
                             "objects" by hash and id also what is in it
    check.py archive FILE    a sealed archive of a safe: its framing, both logs, the hash of each object
    check.py vectors FOLDER [LAYER]
                             every vector of tests/vectors whose layer this program knows, or of one layer;
                             those of safes/ are of the layers safe-CONSTRUCT
    check.py compare         one question a line on standard input, one answer a line on standard output
"""

import base64
import functools
import hashlib
import hmac
import ipaddress
import json
import os
import re
import sys

import archive
import blake3
import gcm
import hpke
import names
import noise
import sealed

CERTIFICATE_MAX = 2048
LOG_MAX = 100_000
DEPTH_MAX = 12
DEVICES_MAX = 200
FILE_MAX = 64 * 1024 * 1024
SEALED = 558
KEY_CHANGES_MAX = 20
ABANDONED_MAX = 16
DIRECTORY_KEYS_EVER = 33_334
DIRECTORY_RING_MAX = DIRECTORY_KEYS_EVER * 40 + 16_384
PART_BOXES = 256
PART_MAX = 3 + PART_BOXES * 1171
BOX = 1168
MANIFEST_MAX = 262_144
RECEIPT_MAX = 256
INFO_MAX = 1024
ENCAPSULATION = 1120
ENCRYPTION_KEY = 1216
ALPHABET = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789"

# The kinds of certificates, and how many fields each has.
BODIES = {0: 5, 1: 6, 2: 2, 3: 1, 4: 1, 5: 5, 6: 3}

# Rules that a run is told to forget: a comparison that does not notice is no comparison.
FORGET = set()


class Bad(Exception):
    """Why something is refused."""


def need(holds, why):
    if not holds and why not in FORGET:
        raise Bad(why)


# --- Encoding


def decode(data, limit):
    need(len(data) <= limit, "too long")
    value, rest = item(data, 0, 0)
    need(rest == len(data), "bytes after the value")
    return value


def item(data, at, depth):
    if at >= len(data):
        raise Bad("truncated")
    major, short = data[at] >> 5, data[at] & 31
    at += 1
    if major == 7:
        known = {20: False, 21: True, 22: None}
        if short not in known:
            raise Bad("not canonical")
        return known[short], at
    if short < 24:
        number = short
    elif short <= 27:
        size = 1 << (short - 24)
        if at + size > len(data):
            raise Bad("truncated")
        number = int.from_bytes(data[at : at + size], "big")
        at += size
        least = {1: 24, 2: 1 << 8, 4: 1 << 16, 8: 1 << 32}[size]
        need(number >= least, "shortest form")
    else:
        raise Bad("not canonical")
    if major == 0:
        return number, at
    if major in (2, 3):
        if number > len(data) - at:
            raise Bad("truncated")
        raw = bytes(data[at : at + number])
        if major == 2:
            return raw, at + number
        try:
            return raw.decode("utf-8"), at + number
        except UnicodeDecodeError:
            raise Bad("not UTF-8")
    if major == 4:
        if number > len(data) - at:
            raise Bad("truncated")
        if depth >= DEPTH_MAX:
            raise Bad("too deep")
        values = []
        for _ in range(number):
            value, at = item(data, at, depth + 1)
            values.append(value)
        return values, at
    raise Bad("not canonical")


def encode(value):
    if value is None:
        return b"\xf6"
    if value is True:
        return b"\xf5"
    if value is False:
        return b"\xf4"
    if isinstance(value, int):
        return head(0, value)
    if isinstance(value, bytes):
        return head(2, len(value)) + value
    if isinstance(value, str):
        raw = value.encode()
        return head(3, len(raw)) + raw
    return head(4, len(value)) + b"".join(encode(one) for one in value)


def head(major, number):
    if number < 24:
        return bytes([major << 5 | number])
    for short, size in ((24, 1), (25, 2), (26, 4), (27, 8)):
        if number < 1 << (8 * size):
            return bytes([major << 5 | short]) + number.to_bytes(size, "big")
    raise Bad("too large a number")


def record(value, count, why):
    if not isinstance(value, list) or len(value) != count:
        raise Bad(why)
    return value


def octets(value, length):
    if not isinstance(value, bytes) or len(value) != length:
        raise Bad("not %d bytes" % length)
    return value


def natural(value):
    if isinstance(value, bool) or not isinstance(value, int):
        raise Bad("not a number")
    return value


def choice(value, fields):
    number, inside = record(value, 2, "not a choice")
    if natural(number) not in fields:
        raise Bad("unknown case")
    return number, record(inside, fields[number], "other fields")


# --- Ed25519, strictly (RFC 8032, sections 5.1.3 and 5.1.7)

P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT_OF_MINUS_ONE = pow(2, (P - 1) // 4, P)


def add(one, two):
    a = (one[1] - one[0]) * (two[1] - two[0]) % P
    b = (one[1] + one[0]) * (two[1] + two[0]) % P
    c = 2 * one[3] * two[3] * D % P
    d = 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(number, point):
    result = (0, 1, 1, 0)
    while number:
        if number & 1:
            result = add(result, point)
        point = add(point, point)
        number >>= 1
    return result


def same(one, two):
    return (one[0] * two[2] - two[0] * one[2]) % P == 0 and (one[1] * two[2] - two[1] * one[2]) % P == 0


def point(raw):
    """The point, or nothing where there is none; and whether this is its one spelling."""
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & ((1 << 255) - 1)
    canonical = y < P
    y %= P
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    if square == 0:
        return (0, y, 1, 0), canonical and sign == 0
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT_OF_MINUS_ONE % P
    if (x * x - square) % P:
        return None, False
    if x & 1 != sign:
        x = P - x
    return (x, y, 1, x * y % P), canonical


BASE = point((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))[0]


def small(where):
    return same(times(8, where), (0, 1, 1, 0))


KNOWN = {}


def signed(key, context, message, signature):
    """Whether the signature is this key's, over context and message."""
    question = (key, context, message, signature)
    if question not in KNOWN:
        KNOWN[question] = check(key, context + message, signature)
    return KNOWN[question]


def check(key, message, signature):
    s = int.from_bytes(signature[32:], "little")
    (a, one_encoding), (r, _) = point(key), point(signature[:32])
    if a is None or r is None or not one_encoding:
        return False
    if s >= L and "S reduced" not in FORGET:
        return False
    if (small(a) or small(r)) and "small order" not in FORGET:
        return False
    k = int.from_bytes(hashlib.sha512(signature[:32] + key + message).digest(), "little") % L
    minus = (P - a[0], a[1], a[2], P - a[3])
    got = add(times(s % L, BASE), times(k, minus))
    inverse = pow(got[2], P - 2, P)
    x, y = got[0] * inverse % P, got[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little") == signature[:32]


def sound_verify_key(key):
    where, canonical = point(key)
    return where is not None and canonical and not small(where)


# X25519: the five points of small order, as u coordinates below p.
SMALL_U = {
    0,
    1,
    P - 1,
    325606250916557431795983626356110631294008115727848805560023387167927233504,
    39382357235489614581723060781553021112529911719440698176882885853963445705823,
}


def sound_encryption_key(key):
    number = int.from_bytes(key, "little")
    return number < P and number not in SMALL_U


# --- The log


def sha(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


ATOM = "[a-z0-9!#$%&'*+/=?^_`{|}~-]+"
ADDRESS = re.compile("(%s([.]%s)*)@[a-z0-9-]{1,63}([.][a-z0-9-]{1,63})*" % (ATOM, ATOM))


def address(value):
    found = ADDRESS.fullmatch(value) if isinstance(value, str) and len(value) <= 254 else None
    parts = value.partition("@")[2].split(".") if found else []
    if not found or len(found[1]) > 64 or any(part[0] == "-" or part[-1] == "-" for part in parts):
        raise Bad("not an address")
    return value


def label(value):
    if not isinstance(value, str):
        raise Bad("not a name")
    need(names.why_not(value) is None, "a name")
    return value


class Log:
    def __init__(self, organisation, root):
        self.organisation, self.root = organisation, root
        self.heads = [sha(b"parsec-log-v1", organisation.encode(), root)]
        self.users, self.devices, self.spoke = {}, {}, {}
        # Key hashes there ever were; devices that never came, and whose they were to be.
        self.keys, self.abandoned = set(), {}
        # The present directory key, and whether somebody was revoked since.
        self.directory, self.left = 1, False

    def take(self, envelope):
        """Adds a certificate.

        Raises Bad, and then nothing has changed."""
        position = len(self.heads) - 1
        need(position < LOG_MAX, "log full")
        # 1
        payload, signature = record(decode(envelope, CERTIFICATE_MAX), 2, "not an envelope")
        octets(signature, 64)
        if not isinstance(payload, bytes):
            raise Bad("no payload")
        organisation, author, time, seen, body = record(decode(payload, CERTIFICATE_MAX), 5, "not a payload")
        by, fields = choice(author, {0: 0, 1: 1})
        natural(time)
        count, hash_ = record(seen, 2, "not a head")
        natural(count), octets(hash_, 32)
        kind, said = choice(body, BODIES)
        self.shape(kind, said)
        need(organisation == self.organisation, "other organisation")
        # 2
        if by == 0:
            need(position < 2, "root later")
            key, me, device = self.root, None, None
        else:
            device = octets(fields[0], 16)
            need(position >= 2, "not by root")
            if device not in self.devices:
                raise Bad("author unknown")
            mine = self.devices[device]
            me = mine["user"]
            need(not mine["revoked"] and not self.users[me]["revoked"], "author revoked")
            key = mine["key"]
        # 3
        need(signed(key, b"parsec-cert-v1\0", payload, signature), "signature")
        # 4
        need(count <= position and self.heads[min(count, position)] == hash_, "seen")
        # 5
        if kind >= 2:
            before = self.spoke.get(device)
            need(before is None or (time >= before[0] and count >= before[1]), "went back")
        # 6
        if position >= 2 and self.devices[device]["kind"] == 1:
            need(kind == 1 and said[1] == me and said[5] == 0, "recovery device")
        self.rules(position, kind, said, device, me, count)
        self.apply(position, kind, said, device)
        if kind >= 2:
            self.spoke[device] = (time, count)
        self.heads.append(sha(self.heads[-1], sha(envelope)))

    @staticmethod
    def shape(kind, said):
        if kind == 6:
            if natural(said[0]) >= 2**32:
                raise Bad("not a number of a key")
            octets(said[1], 32), octets(said[2], 32)
            return
        octets(said[0], 16)
        if kind == 0:
            address(said[1])
            if not isinstance(said[2], bytes):
                raise Bad("no sealed name")
            octets(said[3], 32)
            if natural(said[4]) > 2:
                raise Bad("unknown profile")
        elif kind == 1:
            octets(said[1], 16)
            if not isinstance(said[2], bytes):
                raise Bad("no sealed label")
            octets(said[3], 32), octets(said[4], 32)
            if natural(said[5]) > 1:
                raise Bad("unknown kind of device")
        elif kind == 2 and natural(said[1]) > 2:
            raise Bad("unknown profile")
        elif kind == 5:
            octets(said[1], 32), octets(said[2], 32)
            if said[3] is not None:
                version, hash_ = record(said[3], 2, "not a manifest's mark")
                natural(version), octets(hash_, 32)
            if not isinstance(said[4], list):
                raise Bad("no list of devices")
            for one in said[4]:
                octets(one, 16)

    def administrator(self, me):
        return me is not None and self.users[me]["profile"] == 0

    def new_key(self, key):
        need(key not in self.keys, "encryption key taken")

    def devices_of(self, user):
        """Ids of the user's devices, and of those that never came."""
        came = {id_ for id_, it in self.devices.items() if it["user"] == user}
        return came | {id_ for id_, whose in self.abandoned.items() if whose == user}

    def suspended(self, user):
        return self.users[user]["device revoked at"] > self.users[user]["key at"]

    def rules(self, position, kind, said, device, me, count):
        if position == 0:
            need(kind == 0 and said[4] == 0, "founding")
        if position == 1:
            need(kind == 1 and said[1] in self.users, "founding")
        if kind == 0:
            user, email, name, key, _ = said
            need(position == 0 or self.administrator(me), "administrator")
            need(user not in self.users, "user id taken")
            others = self.users.values()
            need(not any(it["email"] == email and not it["revoked"] for it in others), "address taken")
            self.new_key(key)
            need(len(name) == SEALED, "sealed name")
        elif kind == 1:
            new, user, label, key, sealed_to, device_kind = said
            need(new not in self.devices, "device id taken")
            need(sound_verify_key(key), "verify key")
            need(key != self.root, "verify key of the root")
            need(not any(it["key"] == key for it in self.devices.values()), "verify key taken")
            need(len(label) == SEALED, "sealed label")
            if user not in self.users:
                raise Bad("user unknown")
            owner = self.users[user]
            need(not owner["revoked"], "user revoked")
            self.new_key(sealed_to)
            need(len(self.devices_of(user) - {new}) < DEVICES_MAX, "too many devices")
            owned = sum(it["user"] == user for it in self.devices.values())
            need(owned > 0 or device_kind == 0, "recovery device")
            first = owned == 0 and owner["author"] == device and (position == 1 or self.administrator(me))
            need(me == user or first, "not own user")
        elif kind == 2:
            user, profile = said
            need(self.administrator(me), "administrator")
            need(user != me, "about oneself")
            if user not in self.users:
                raise Bad("user unknown")
            need(not self.users[user]["revoked"], "user revoked")
            need(self.users[user]["profile"] != profile, "same profile")
            need(count > self.users[user]["profile at"], "stale profile")
        elif kind == 3:
            (user,) = said
            need(self.administrator(me), "administrator")
            need(user != me, "about oneself")
            if user not in self.users:
                raise Bad("user unknown")
            need(not self.users[user]["revoked"], "user revoked")
        elif kind == 5:
            user, previous, key, _, abandoned = said
            need(user == me, "another's key")
            if user not in self.users:
                raise Bad("user unknown")
            owner = self.users[user]
            need(owner["key"] == previous, "stale key")
            self.new_key(key)
            gone = sum(it["user"] == user and it["revoked"] for it in self.devices.values())
            need(abandoned or owner["changes"] < KEY_CHANGES_MAX + gone, "too many key changes")
            if abandoned:
                need(all(one < two for one, two in zip(abandoned, abandoned[1:])), "abandoned in order")
                room = DEVICES_MAX - len(self.devices_of(user))
                need(len(abandoned) <= min(ABANDONED_MAX, room), "abandoned too many")
                known = self.abandoned.keys() | self.devices.keys()
                need(not any(one in known for one in abandoned), "abandoned before")
        elif kind == 6:
            need(self.administrator(me), "administrator")
            need(count == position, "not next")
            need(said[0] == self.directory + 1, "stale directory key")
            need(self.left, "nobody left")
        else:
            (gone,) = said
            if gone not in self.devices:
                # Nobody's: an administrator may not revoke it either.
                raise Bad("device unknown")
            need(self.administrator(me) or self.devices[gone]["user"] == me, "administrator")
            need(gone != device, "own device")
            need(not self.devices[gone]["revoked"], "device revoked")

    def apply(self, position, kind, said, device):
        if kind == 0:
            user, email, name, key, profile = said
            self.keys.add(key)
            self.users[user] = {
                "name": name,
                "email": email,
                "key": key,
                "key at": position,
                "device revoked at": -1,
                "changes": 0,
                "profile": profile,
                "profile at": position,
                "author": device,
                "revoked": False,
            }
        elif kind == 1:
            self.devices[said[0]] = {"user": said[1], "key": said[3], "kind": said[5], "revoked": False}
            self.keys.add(said[4])
        elif kind == 2:
            self.users[said[0]].update({"profile": said[1], "profile at": position})
        elif kind == 3:
            self.left = True
            self.users[said[0]]["revoked"] = True
            for it in self.devices.values():
                it["revoked"] |= it["user"] == said[0]
        elif kind == 5:
            user, _, key, _, abandoned = said
            self.keys.add(key)
            self.users[user].update({"key": key, "key at": position})
            self.users[user]["changes"] += not abandoned
            self.abandoned.update({one: user for one in abandoned})
        elif kind == 6:
            self.directory, self.left = said[0], False
        else:
            self.left = True
            self.devices[said[0]]["revoked"] = True
            self.users[self.devices[said[0]]["user"]]["device revoked at"] = position


def read_log(organisation, root, envelopes):
    """How many certificates stand, the head there, and why the next one does not."""
    log = Log(organisation, root)
    for envelope in envelopes:
        try:
            log.take(envelope)
        except Bad as why:
            return len(log.heads) - 1, log.heads[-1], str(why)
    return len(log.heads) - 1, log.heads[-1], None


# --- The ceremony's arithmetic


def mac(key, *parts):
    return hmac.new(key, b"".join(parts), hashlib.sha256).digest()


def shown(number):
    return "".join(ALPHABET[number >> shift & 31] for shift in (15, 10, 5, 0))


def codes(split, h, claimer, greeter, root_commitment, typing):
    key = mac(split, b"parsec-enrol-v1 sas", h)
    number = int.from_bytes(mac(key, claimer, greeter, root_commitment, bytes([int(typing)]))[:5], "big")
    return shown(number & 0xFFFFF), shown(number >> 20)


def receipt(message, device):
    """Whether a receipt is one, by this device."""
    h, certificates, root, opened, signature = record(decode(message, RECEIPT_MAX), 5, "not a receipt")
    octets(h, 32), octets(root, 32), octets(opened, 32), octets(signature, 64)
    if not isinstance(certificates, list):
        raise Bad("not a receipt")
    for one in certificates:
        octets(one, 32)
    return signed(device, b"parsec-receipt-v1\0", encode([h, certificates, root, opened]), signature)


# --- Evidence files


def organisation_id(value):
    known = set("abcdefghijklmnopqrstuvwxyz0123456789-")
    if not isinstance(value, str) or not 1 <= len(value) <= 32 or value[0] == "-" or not set(value) <= known:
        raise Bad("not an organisation id")
    return value


def whole_log(organisation, root, envelopes):
    organisation_id(organisation)
    log = Log(organisation, root)
    for envelope in envelopes:
        log.take(envelope)
    return log


def envelopes_of(value):
    if not isinstance(value, list) or not all(isinstance(one, bytes) for one in value):
        raise Bad("not envelopes")
    return value


def place(value):
    count, hash_ = record(value, 2, "not a head")
    return natural(count), octets(hash_, 32)


def signed_head(value, log):
    """The head that a device of this log, not revoked at its end, signed for."""
    device, time, head_, signature = record(value, 4, "not a signed head")
    octets(device, 16), natural(time), octets(signature, 64)
    count, hash_ = place(head_)
    if device not in log.devices:
        raise Bad("device unknown")
    need(not log.devices[device]["revoked"], "device revoked")
    message = encode([log.organisation, log.root, device, time, head_])
    need(signed(log.devices[device]["key"], b"parsec-head-v1\0", message, signature), "signature")
    need(count < len(log.heads) and log.heads[min(count, len(log.heads) - 1)] == hash_, "head elsewhere")
    return count


def exported_log(fields):
    if len(fields) not in (3, 4) or (len(fields) == 4 and fields[3] is None):
        raise Bad("not an exported log")
    log = whole_log(fields[0], octets(fields[1], 32), envelopes_of(fields[2]))
    if len(fields) == 4:
        need(signed_head(fields[3], log) == len(log.heads) - 1, "head elsewhere")


def certificate(envelope):
    """Author, time, seen and body, and what the signature is over; by whom it is, nobody has looked yet."""
    payload, signature = record(decode(envelope, CERTIFICATE_MAX), 2, "not an envelope")
    if not isinstance(payload, bytes):
        raise Bad("no payload")
    organisation, author, time, seen, body = record(decode(payload, CERTIFICATE_MAX), 5, "not a payload")
    by, fields = choice(author, {0: 0, 1: 1})
    kind, said = choice(body, BODIES)
    Log.shape(kind, said)
    device = octets(fields[0], 16) if by else None
    return organisation, device, natural(time), place(seen), (kind, said), payload, octets(signature, 64)


def word(branch, witness, log, least):
    """That a branch's witness vouches for this many certificates of it."""
    kind, fields = witness
    if kind == 2:
        raise Bad("no log")
    if kind == 1:
        count = signed_head(fields[0], log)
    else:
        index = natural(fields[0])
        if index >= len(branch):
            raise Bad("no witness")
        _, device, _, (count, _), _, _, _ = certificate(branch[index])
        need(device is not None, "no device")
    need(count >= least, "vouches for too little")


def fork_proof(fields):
    organisation, root, common, branches = record(fields, 4, "not a fork proof")
    octets(root, 32), envelopes_of(common)
    one, other = [record(branch, 2, "not a branch") for branch in record(branches, 2, "not two branches")]
    sides = [(envelopes_of(side[0]), choice(side[1], {0: 1, 1: 1, 2: 1})) for side in (one, other)]
    base = whole_log(organisation, root, common)
    shared = len(base.heads) - 1
    foreign_views = [index for index in (0, 1) if sides[index][1][0] == 2]
    if len(foreign_views) == 2:
        raise Bad("no log")
    if foreign_views:
        hidden, (branch, witness) = sides[foreign_views[0]], sides[1 - foreign_views[0]]
        need(not hidden[0], "a log beside a certificate with a foreign view")
        foreign = hidden[1][1][0]
        if not isinstance(foreign, bytes):
            raise Bad("not an envelope")
        organisation_, device, _, (count, hash_), _, payload, signature = certificate(foreign)
        log = whole_log(organisation, root, common + branch)
        word(branch, witness, log, count)
        if device not in log.devices:
            raise Bad("device unknown")
        need(organisation_ == organisation, "other organisation")
        need(signed(log.devices[device]["key"], b"parsec-cert-v1\0", payload, signature), "signature")
        need(1 <= count < len(log.heads) and log.heads[min(count, len(log.heads) - 1)] != hash_, "not a foreign view")
        return
    (branch, witness), (branch_, witness_) = sides
    need(branch and branch_ and branch[0] != branch_[0], "no fork")
    word(branch, witness, whole_log(organisation, root, common + branch), shared + 1)
    word(branch_, witness_, whole_log(organisation, root, common + branch_), shared + 1)


def enrolment_receipt(fields):
    statement, signature, envelopes, proof = record(fields, 4, "not a receipt")
    if not isinstance(statement, bytes):
        raise Bad("no statement")
    said = record(decode(statement, 512), 14, "not a statement")
    organisation, root, greeter, key, transport, attempts, method, bits, heard, seen, h, device, time, opened = said
    octets(opened, 32), octets(root, 32), octets(greeter, 16), octets(key, 32), natural(attempts), natural(bits), natural(time)
    octets(h, 32), octets(device, 16)
    if not isinstance(heard, bool) or natural(transport) > 1 or natural(method) > 1:
        raise Bad("not a statement")
    need(signed(key, b"parsec-enrolled-v1\0", statement, octets(signature, 64)), "signature")
    need(bits == 40 and heard, "no ceremony")
    bodies = []
    for envelope in envelopes_of(envelopes):
        organisation_, by, when, seen_, body, payload, signature_ = certificate(envelope)
        need(signed(key, b"parsec-cert-v1\0", payload, signature_), "signature")
        need((organisation_, by, when, seen_) == (organisation, greeter, time, place(seen)), "made elsewhere")
        bodies.append(body)
    kinds = [kind for kind, _ in bodies]
    if kinds not in ([1], [0, 1]):
        raise Bad("not one enrolment")
    new, user, _, new_key, _, _ = bodies[-1][1]
    need(kinds == [1] or bodies[0][1][0] == user, "not one enrolment")
    need(new == device, "another device")
    h_, hashes, root_, opened_, _ = record(proof, 5, "not a receipt")
    there = (h, [sha(envelope) for envelope in envelopes], root, opened)
    need((h_, hashes, root_, opened_) == there, "receipt of something else")
    need(receipt(encode(proof), new_key), "signature")


FILES = {"parsec-log": exported_log, "parsec-fork": fork_proof, "parsec-receipt": enrolment_receipt}


def evidence(data):
    """What kind of file it is.

    Raises Bad where it shows nothing."""
    value = decode(data, FILE_MAX)
    if not isinstance(value, list) or len(value) < 3 or value[0] not in FILES or value[1] is True or value[1] != 1:
        raise Bad("no evidence file")
    FILES[value[0]](value[2:])
    return value[0]


# --- What is asked


def answer(asked):
    raw = {name: bytes.fromhex(value) for name, value in asked.items() if name not in NOT_HEX}
    kind = asked["kind"]
    if kind == "log":
        envelopes = [bytes.fromhex(one) for one in asked["envelopes"]]
        count, head_, why = read_log(asked["organisation"], raw["root"], envelopes)
        return {"count": count, "head": head_.hex(), "why": why}
    if kind == "codes":
        claimer, greeter = codes(
            raw["split"], raw["h"], raw["claimer"], raw["greeter"], raw["root commitment"], asked["typing"]
        )
        return {
            "claimer": claimer,
            "greeter": greeter,
            "commitment": mac(raw["claimer"], b"parsec-enrol-v1 commit", raw["h"]).hex(),
            "root commitment": mac(raw["greeter"], b"parsec-enrol-v1 root", raw["h"], raw["root"]).hex(),
        }
    if kind == "receipt":
        try:
            return {"valid": receipt(raw["receipt"], raw["device"])}
        except Bad:
            return {"valid": False}
    if kind == "file":
        try:
            return {"valid": evidence(raw["file"])}
        except Bad:
            return {"valid": None}
    if kind == "safe":
        return safes().whole(asked)
    if kind in ("label", "email", "link", "hints", "key", "box"):
        try:
            return {"gives": LAYERS[kind](asked)[0]}
        except Bad:
            return {"gives": None}
    return {"unknown": kind}


NOT_HEX = {"kind", "organisation", "envelopes", "typing", "text", "hints", "here", "suite", "items"}


def safes():
    """The reader of safes, which takes its arithmetic from here, and from nowhere else."""
    sys.modules["check"] = sys.modules[__name__]
    import safe

    return safe



def judge_log(given):
    envelopes = [bytes.fromhex(one) for one in given["envelopes"]]
    log = Log(given["organisation"], bytes.fromhex(given["root"]))
    for envelope in envelopes:
        try:
            log.take(envelope)
        except Bad:
            return None, len(log.heads) - 1
    return {
        "head": [len(log.heads) - 1, log.heads[-1].hex()],
        "members": [it["email"] for it in log.users.values() if not it["revoked"]],
        "keys": [it["key"].hex() for it in log.users.values()],
        "suspended": [user.hex() for user in log.users if log.suspended(user)],
        "devices": [device.hex() for device, it in log.devices.items() if not it["revoked"]],
    }, None


def judge_certificate(given):
    payload, signature = record(decode(bytes.fromhex(given["envelope"]), CERTIFICATE_MAX), 2, "not an envelope")
    need(signed(bytes.fromhex(given["author key"]), b"parsec-cert-v1\0", payload, octets(signature, 64)), "signature")
    organisation, author, time, seen, body = record(decode(payload, CERTIFICATE_MAX), 5, "not a payload")
    choice(author, {0: 0, 1: 1})
    kind, said = choice(body, BODIES)
    Log.shape(kind, said)
    return {"organisation": organisation, "body": encode(body).hex()}, None


def judge_receipt(given):
    message = bytes.fromhex(given["receipt"])
    need(receipt(message, bytes.fromhex(given["device key"])), "signature")
    h, certificates, root, opened, _ = decode(message, 256)
    return {
        "handshake": h.hex(),
        "certificates": [one.hex() for one in certificates],
        "root": root.hex(),
        "opened": opened.hex(),
    }, None


def judge_sas(given):
    raw = {name: bytes.fromhex(value) for name, value in given.items() if isinstance(value, str)}
    claimer, greeter = codes(
        raw["k1"] + raw["k2"],
        raw["h"],
        raw["claimer nonce"],
        raw["greeter nonce"],
        raw["root commitment"],
        given["typing required"],
    )
    return {"claimer's code": claimer, "greeter's code": greeter}, None


def judge_commitment(given):
    raw = {name: bytes.fromhex(value) for name, value in given.items()}
    if "root verify key" in raw:
        made = mac(raw["greeter nonce"], b"parsec-enrol-v1 root", raw["h"], raw["root verify key"])
    else:
        made = mac(raw["claimer nonce"], b"parsec-enrol-v1 commit", raw["h"])
    need(raw.get("received", made) == made, "commitment")
    return {"commitment": made.hex()}, None


def judge_code(given):
    typed = given["typed"].strip(names.WHITE_SPACE)
    code = "".join(chr(ord(one) - 32) if "a" <= one <= "z" else one for one in typed)
    need(len(code) == 4 and all(one in ALPHABET for one in code), "not a code")
    return {"code": code}, None


def judge_request(given):
    raw = {name: bytes.fromhex(given[name]) for name in ("body", "device", "key", "nonce", "signature")}
    message = encode(
        [
            given["organisation"],
            raw["device"],
            given["method"],
            given["target"],
            given["time"],
            raw["nonce"],
            sha(raw["body"]),
        ]
    )
    need(signed(raw["key"], b"parsec-request-v1\0", message, raw["signature"]), "signature")
    return message.hex(), None


PART = re.compile("[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
NUMBER = re.compile("0|[1-9][0-9]*")


def written(address):
    """An IPv6 address as a link has it."""
    groups = [int.from_bytes(address.packed[at : at + 2], "big") for at in range(0, 16, 2)]
    best = (0, 0)
    for start in range(8):
        end = start
        while end < 8 and groups[end] == 0:
            end += 1
        if end - start > max(1, best[1] - best[0]):
            best = (start, end)
    text = ["%x" % one for one in groups]
    if best == (0, 0):
        return ":".join(text)
    return ":".join(text[: best[0]]) + "::" + ":".join(text[best[1] :])


def host(authority, own_port):
    """Whether the host is this machine."""
    if authority.startswith("["):
        inside, closed, port = authority[1:].partition("]")
        need(closed == "]" and inside.isascii() and "%" not in inside, "host")
        try:
            address = ipaddress.IPv6Address(inside)
        except ValueError:
            raise Bad("host")
        need(written(address) == inside, "host")
        here = inside == "::1"
    else:
        name, colon, port = authority.partition(":")
        port = colon + port
        parts = name.split(".")
        need(len(name) <= 253 and all(PART.fullmatch(part) for part in parts), "host")
        here = name == "localhost"
        if parts[-1].isdigit() or parts[-1].startswith("0x"):
            four = len(parts) == 4 and all(NUMBER.fullmatch(part) and int(part) < 256 for part in parts)
            need(four, "host")
            here = parts[0] == "127"
    if port:
        number = port[1:]
        need(port[0] == ":" and number.isascii() and number.isdigit() and number[0] != "0", "port")
        need(len(number) <= 5 and int(number) <= 65535 and int(number) != own_port, "port")
    return here


def judge_link(given):
    text = given["text"].strip(names.WHITE_SPACE)
    need(len(text.encode()) <= 2048, "too long")
    before, hash_, payload = text.partition("#")
    need(hash_ == "#" and re.fullmatch("[A-Za-z0-9_-]*", payload), "no payload")
    need(len(payload) % 4 != 1, "base64")
    raw = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    need(base64.urlsafe_b64encode(raw).rstrip(b"=").decode() == payload, "base64")
    # A version above 1 would be too new; here it is refused like everything else.
    version, kind, token, secret, hints = record(decode(raw, 2048), 5, "not a payload")
    need(natural(version) == 1 and natural(kind) <= 2, "version or kind")
    octets(token, 16), octets(secret, 32)
    need(isinstance(hints, list) and len(hints) <= 8, "hints")
    need(all(isinstance(one, str) and len(one.encode()) <= 128 for one in hints), "hints")
    scheme, mark, rest = before.partition("://")
    authority, slash, path = rest.partition("/")
    need(mark and slash and scheme in ("https", "http", "parsec"), "form")
    here = host(authority, 80 if scheme == "http" else 443)
    need(scheme != "http" or here, "plain http")
    if scheme != "parsec":
        need(path.startswith("join/"), "path")
        path = path[5:]
    need(re.fullmatch("[a-z0-9][a-z0-9-]{0,31}", path), "organisation")
    return {
        "server": ("https" if scheme == "parsec" else scheme) + "://" + authority,
        "organisation": path,
        "kind": ("user", "device", "share")[kind],
        "token": token.hex(),
        "link secret": secret.hex(),
        "hints": hints,
    }, None


def judge_label(given):
    return label(given["text"]), None


def judge_email(given):
    return address(given["text"]), None


def sealed_name(given):
    """The name, or nothing where it is unreadable."""
    raw = bytes.fromhex(given["sealed"])
    kind = {"user": 0, "device": 1}[given["kind"]]
    key = bytes.fromhex(given["directory key"])
    need(len(raw) == SEALED, "sealed name")
    number = int.from_bytes(raw[:4], "big")
    need(number == 1, "directory key's number")
    place_ = encode([given["organisation"], kind, bytes.fromhex(given["id"]), number])
    plain = sealed.opened(key, raw[4:28], b"parsec-name-v1\0" + place_, raw[28:])
    if plain is None:
        raise Bad("unreadable")
    length = int.from_bytes(plain[:2], "big")
    need(2 + length <= len(plain) and not any(plain[2 + length :]), "padding")
    try:
        return label(plain[2 : 2 + length].decode("utf-8"))
    except UnicodeDecodeError:
        raise Bad("not UTF-8")


def judge_name(given):
    return sealed_name(given), None


def judge_key(given):
    suite, key = given["suite"], bytes.fromhex(given["key"])
    need(suite == 1, "unknown suite")
    octets(key, ENCRYPTION_KEY)
    need(hpke.reduced(key), "reduced")
    need(sound_encryption_key(key[-32:]), "X25519 half")
    return {"hash": sha(b"parsec-key-v1\0", encode([suite, key])).hex()}, None


def judge_box(given):
    seed, info, associated, box = (bytes.fromhex(given[name]) for name in ("seed", "info", "associated", "box"))
    need(len(info) <= INFO_MAX and len(box) >= ENCAPSULATION + 16, "length")
    need(sound_encryption_key(box[ENCAPSULATION - 32 : ENCAPSULATION]), "X25519 key of a box")
    plain = hpke.open_(seed, info, associated, box)
    if plain is None:
        raise Bad("closed")
    if given["randomness"] is not None:
        key = hpke.key_pair(seed)[1]
        need(hpke.seal(key, info, associated, plain, bytes.fromhex(given["randomness"])) == box, "another box")
    return {"plaintext": plain.hex()}, None


def judge_manifest(given):
    payload, signature = record(decode(bytes.fromhex(given["envelope"]), MANIFEST_MAX), 2, "not an envelope")
    if not isinstance(payload, bytes):
        raise Bad("no payload")
    fields = record(decode(payload, MANIFEST_MAX), 8, "not a manifest")
    organisation, user, version, author, time, of, nonce, ciphertext = fields
    organisation_id(organisation), octets(user, 16), natural(version), octets(author, 16), natural(time)
    octets(of, 32), octets(nonce, 24)
    if not isinstance(ciphertext, bytes):
        raise Bad("not a manifest")
    need(organisation == given["organisation"] and user.hex() == given["user"] and version > 0, "another place")
    need(author.hex() == given["author"], "another author")
    key = bytes.fromhex(given["author key"])
    need(signed(key, b"parsec-manifest-v1\0", payload, octets(signature, 64)), "signature")
    need(of.hex() == given["key"], "unknown key")
    ad = b"parsec-manifest-v1 ad\0" + encode(fields[:6])
    about = b"parsec-manifest-v1 key\0" + encode([organisation, user])
    manifest_key = noise.hkdf(b"", bytes.fromhex(given["user's seed"]), about, 32)
    plain = sealed.opened(manifest_key, nonce, ad, ciphertext)
    if plain is None:
        raise Bad("unreadable")
    directory_keys, anchor, safes = record(decode(plain, MANIFEST_MAX), 3, "not a manifest")
    if not isinstance(safes, list):
        raise Bad("no safes")
    numbered(directory_keys)
    count, head_ = place(anchor)
    for safe in safes:
        id_, secret, role = record(safe, 3, "not a safe")
        octets(id_, 16), octets(secret, 32), natural(role)
    return {"version": version, "time": time, "anchor": [count, head_.hex()], "safes": len(safes)}, None


def numbered(value):
    """Directory keys with their numbers, ascending."""
    if not isinstance(value, list) or len(value) > 256:
        raise Bad("no directory keys")
    for one in value:
        number, key = record(one, 2, "not a directory key")
        natural(number), octets(key, 32)
    need(all(one[0] < two[0] for one, two in zip(value, value[1:])), "directory keys in order")
    return value


def judge_user_key(given):
    """The seed in a key box or past box."""
    raw = {name: bytes.fromhex(value) for name, value in given.items() if name not in ("kind", "organisation")}
    if given["kind"] == "device":
        own = key_hash(hpke.key_pair(raw["seed"])[1])
        use = ["parsec-user-key-v1", given["organisation"], raw["user"], raw["key"], raw["device"], own]
        wanted = raw["key"]
    else:
        wanted = raw["previous key"]
        use = ["parsec-user-past-v1", given["organisation"], raw["user"], raw["key"], wanted]
    need(sound_encryption_key(raw["box"][ENCAPSULATION - 32 : ENCAPSULATION]), "X25519 key of a box")
    seed = hpke.open_(raw["seed"], encode(use), b"", raw["box"])
    if seed is None:
        raise Bad("closed")
    octets(seed, 32)
    need(key_hash(hpke.key_pair(seed)[1]) == wanted, "the certified key")
    return {"seed": seed.hex()}, None


def bytes_of_words(text):
    """BIP-39, English list: 24 words of 11 bits, which are 32 bytes and the first byte of their SHA-256."""
    with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "../vectors/published/bip39-english.txt"), encoding="ascii") as file:
        known = {word: at for at, word in enumerate(file.read().split())}
    words = text.split(" ")
    if len(words) != 24 or any(word not in known for word in words):
        raise Bad("24 words of the list")
    number = 0
    for word in words:
        number = number << 11 | known[word]
    raw = (number >> 8).to_bytes(32, "big")
    need(number & 0xFF == sha(raw)[0], "checksum of words")
    return raw


def judge_kit(given):
    raw, organisation, root = bytes_of_words(given["words"]), given["organisation"], bytes.fromhex(given["root"])
    need(raw[20:] == sha(b"parsec-recovery-root-v1\0", encode([organisation, root]))[:12], "another organisation's kit")

    def derived(purpose, length):
        return noise.hkdf(b"", raw, b"parsec-recovery-v1 " + purpose + b"\0" + encode(organisation), length)

    device, seed = derived(b"device id", 16), derived(b"signing key", 32)
    key, to = verify_key_of(seed), hpke.key_pair(derived(b"encryption key", 32))[1]
    payload, signature = record(decode(bytes.fromhex(given["certificate"]), CERTIFICATE_MAX), 2, "not an envelope")
    need(signed(bytes.fromhex(given["author key"]), b"parsec-cert-v1\0", payload, octets(signature, 64)), "signature")
    said, _, _, _, body = record(decode(payload, CERTIFICATE_MAX), 5, "not a payload")
    kind, fields = choice(body, BODIES)
    # Id, user, label, verify key, key hash, kind.
    its_own = said == organisation and kind == 1 and [fields[0]] + fields[3:] == [device, key, key_hash(to), 1]
    need(its_own, "the kit's certificate")
    return {"bytes": raw.hex(), "device": device.hex(), "verify key": key.hex(), "key hash": key_hash(to).hex()}, None


def derived_of_directory(key, purpose, bound, length):
    return noise.hkdf(b"", key, b"parsec-directory-v1 " + purpose + b"\0" + encode(bound), length)


def judge_directory(given):
    """A box, the earlier keys, or the ring of a directory key."""
    place_ = [given["organisation"], given["number"]]
    if given["kind"] == "box":
        seed, user, box = (bytes.fromhex(given[name]) for name in ("seed", "user", "box"))
        to = hpke.key_pair(seed)[1]
        bound = place_ + [user, key_hash(to)]
        info = encode(["parsec-directory-box-v1"] + bound)
        need(len(box) >= ENCAPSULATION + 16, "length")
        need(sound_encryption_key(box[ENCAPSULATION - 32 : ENCAPSULATION]), "X25519 key of a box")
        key = hpke.open_(seed, info, b"", box)
        if key is None:
            raise Bad("closed")
        octets(key, 32)
        check = hmac.new(key, b"parsec-directory-check-v1\0" + encode(place_), hashlib.sha256).hexdigest()
        need(check == given["check"], "the key of the check")
        drawn = derived_of_directory(key, b"box", bound, 64)
        return {"key": key.hex(), "right": hpke.seal(to, info, b"", key, drawn) == box}, None
    if given["kind"] == "past":
        key, past = bytes.fromhex(given["key"]), bytes.fromhex(given["past"])
        ad = b"parsec-directory-past-v1\0" + encode(place_)
        plain = sealed.opened(derived_of_directory(key, b"past", place_, 32), past[:24], ad, past[24:])
        if plain is None:
            raise Bad("closed")
        keys = decode(plain, 8 + DIRECTORY_KEYS_EVER * 40)
        if not isinstance(keys, list):
            raise Bad("no directory keys")
        for one in keys:
            number, secret = record(one, 2, "not a directory key")
            natural(number), octets(secret, 32)
        numbers = [number for number, _ in keys]
        ascending = all(one < two for one, two in zip(numbers, numbers[1:]))
        need(ascending and all(1 <= number < given["number"] for number in numbers), "earlier keys in order")
        return {"keys": [[number, secret.hex()] for number, secret in keys]}, None
    head = bytes.fromhex(given["head"])
    need(sha(head).hex() == given["ring hash"], "the ring of the certificate")
    organisation, number, author, parts, past = record(decode(head, DIRECTORY_RING_MAX), 5, "not a ring")
    octets(author, 16), natural(number)
    need([organisation, number, author.hex()] == place_ + [given["author"]], "origin of the ring")
    if not isinstance(parts, list) or not isinstance(past, bytes):
        raise Bad("not a ring")
    need(len(parts) == -(-len(given["list"]) // PART_BOXES), "parts of the ring")
    part = bytes.fromhex(given["part"])
    need(sha(part) == octets(parts[0], 32), "part of the ring")
    boxes = decode(part, PART_MAX)
    need(isinstance(boxes, list) and len(boxes) == min(len(given["list"]), PART_BOXES), "length of the part")
    given_ = [box for box in boxes if box is not None]
    need(all(isinstance(box, bytes) and len(box) == BOX for box in given_), "length of a box")
    return {"head": sha(head).hex(), "boxes": len(given_)}, None


PLAN_MAX, SHARES_MAX = 1536, 16


def plan_of(data, key=None):
    """A plan's fields, once its form is right, and its signature where a key is given."""
    payload, signature = record(decode(data, PLAN_MAX), 2, "not an envelope")
    organisation, user, kit, threshold, members = record(decode(payload, PLAN_MAX), 5, "not a plan")
    organisation_id(organisation)
    octets(user, 16), octets(kit, 16), natural(threshold)
    if not isinstance(members, list):
        raise Bad("no members")
    members = [record(member, 2, "not a member") for member in members]
    for member, commitment in members:
        octets(member, 16), octets(commitment, 32)
    ids = [member for member, _ in members]
    need(2 <= threshold <= len(members) <= SHARES_MAX, "numbers of shares")
    need(all(one < next_ for one, next_ in zip(ids, ids[1:])) and user not in ids, "members")
    need(key is None or signed(key, b"parsec-share-plan-v1\0", payload, octets(signature, 64)), "signature")
    return organisation, user, kit, threshold, members


def judge_plan(given):
    organisation, user, kit, threshold, members = plan_of(bytes.fromhex(given["plan"]), bytes.fromhex(given["kit's verify key"]))
    members = [[member.hex(), commitment.hex()] for member, commitment in members]
    gives = {"organisation": organisation, "user id": user.hex(), "device id": kit.hex(), "threshold": threshold, "members": members}
    return gives, None


def field_times(one, two):
    """In GF(2^8), modulo x^8 + x^4 + x^3 + x + 1."""
    product = 0
    for bit in range(8):
        if two >> bit & 1:
            product ^= one << bit
    for bit in range(14, 7, -1):
        if product >> bit & 1:
            product ^= 0x11B << (bit - 8)
    return product


def field_inverse(one):
    return next(other for other in range(1, 256) if field_times(one, other) == 1)


def at_zero(shares):
    """The values at 0 of the polynomials that have these values at these numbers (Lagrange)."""
    secret = bytearray(32)
    for number, values in shares.items():
        factor = 1
        for other in shares:
            if other != number:
                factor = field_times(factor, field_times(other, field_inverse(other ^ number)))
        for at, value in enumerate(values):
            secret[at] ^= field_times(value, factor)
    return bytes(secret)


def judge_share(given):
    organisation, _, kit, threshold, members = plan_of(bytes.fromhex(given["plan"]))
    shares = {}
    for one in given["shares"]:
        user, seed, box = (bytes.fromhex(one[name]) for name in ("user id", "seed", "box"))
        use = ["parsec-share-box-v1", organisation, kit, user, key_hash(hpke.key_pair(seed)[1])]
        opened = hpke.open_(seed, encode(use), b"", box)
        if opened is None:
            raise Bad("closed")
        number, values = record(decode(opened, 36), 2, "not a share")
        commitment = sha(b"parsec-share-v1\0", encode([organisation, kit, number, octets(values, 32)]))
        need(0 < number <= len(members) and members[number - 1] == [user, commitment], "the share of its member")
        shares[number] = values
    need(len(shares) >= threshold, "enough shares")
    raw = at_zero({number: shares[number] for number in sorted(shares)[:threshold]})
    device = noise.hkdf(b"", raw, b"parsec-recovery-v1 device id\0" + encode(organisation), 16)
    need(device == kit, "the kit of the plan")
    return {"bytes": raw.hex()}, None


def key_hash(key):
    return sha(b"parsec-key-v1\0", encode([1, key]))


def optional(fields, least, most):
    """The fields of a record whose last ones may be absent, with nothing for those."""
    if not isinstance(fields, list) or not least <= len(fields) <= most or (len(fields) > least and fields[-1] is None):
        raise Bad("not the record")
    return fields + [None] * (most - len(fields))


def judge_codec(given):
    data = bytes.fromhex(given["bytes"])
    value = decode(data, 4096)
    if given["record"] == "head":
        place(value)
    elif given["record"] == "attempt":
        attempt, steps, greeter, ended = optional(value, 2, 4)
        octets(attempt, 16)
        need(natural(steps) < 65536, "steps")
        if greeter is not None:
            for id_ in record(greeter, 2, "not a greeter"):
                octets(id_, 16)
        need(ended is None or natural(ended) <= 6, "reason")
    elif given["record"] == "new invitation":
        token, invited, expires, mailed = optional(value, 3, 4)
        octets(token, 16), natural(expires)
        kind, (who,) = choice(invited, {0: 1, 1: 1})
        address(who) if kind == 0 else octets(who, 16)
        if mailed is not None and not isinstance(mailed, str):
            raise Bad("not a link")
    else:
        raise Bad("unknown record")
    return data.hex(), None


PORT = re.compile("[1-9][0-9]{0,4}")
BASE58 = re.compile("[1-9A-HJ-NP-Za-km-z]{1,64}")


def reachable(ip, port, here, relay):
    """Whether a hint may lead there."""
    need(PORT.fullmatch(port) and int(port) <= 65535, "port")
    need(int(port) >= 1024 or (relay and int(port) == 443), "port")
    if ip.version == 4:
        first = ip.packed[0]
        need(first not in (0, *range(224, 256)) and ip.packed[:2] != b"\xa9\xfe", "address")
        loopback = first == 127
    else:
        number = int(ip)
        need(number != 0 and number >> 32 != 0xFFFF and ip.packed[0] != 0xFF, "address")
        need(number >> 118 != 0xFE80 >> 6, "address")
        loopback = number == 1
    need(here or not loopback, "loopback")


def ip_of(text, six):
    try:
        found = ipaddress.IPv6Address(text) if six else ipaddress.IPv4Address(text)
    except ValueError:
        raise Bad("address")
    need((written(found) if six else str(found)) == text, "address")
    return found


def judge_hints(given):
    hints, here = given["hints"], given["here"]
    need(1 <= len(hints) <= 8 and all(len(hint.encode()) <= 128 for hint in hints), "hints")
    need(re.fullmatch("[A-Za-z0-9_-]{43}", hints[0]), "peer")
    peer = base64.urlsafe_b64decode(hints[0] + "=")
    need(base64.urlsafe_b64encode(peer).rstrip(b"=").decode() == hints[0], "peer")
    addresses, relays = [], []
    for hint in hints[1:]:
        if hint.startswith("/"):
            parts = hint.split("/")
            quic = len(parts) == 8 and parts[3] == "udp" and parts[5:7] == ["quic-v1", "p2p"]
            need(quic or (len(parts) == 7 and parts[3] == "tcp" and parts[5] == "p2p"), "relay")
            need(parts[1] in ("ip4", "ip6") and BASE58.fullmatch(parts[-1]), "relay")
            reachable(ip_of(parts[2], parts[1] == "ip6"), parts[4], here, True)
            relays.append(hint)
        else:
            ip, colon, port = hint.rpartition(":")
            six = ip.startswith("[") and ip.endswith("]")
            need(colon, "port")
            reachable(ip_of(ip[1:-1] if six else ip, six), port, here, False)
            addresses.append(hint)
    return {"peer": peer.hex(), "addresses": addresses, "relays": relays}, None


# --- A whole ceremony, made again from what both sides drew


def sign(seed, context, message):
    """RFC 8032, section 5.1.6."""
    whole = hashlib.sha512(seed).digest()
    scalar = int.from_bytes(whole[:32], "little") & ((1 << 254) - 8) | 1 << 254
    key = written_point(times(scalar, BASE))
    r = int.from_bytes(hashlib.sha512(whole[32:] + context + message).digest(), "little") % L
    first = written_point(times(r, BASE))
    k = int.from_bytes(hashlib.sha512(first + key + context + message).digest(), "little") % L
    return first + ((r + k * scalar) % L).to_bytes(32, "little")


def verify_key_of(seed):
    whole = hashlib.sha512(seed).digest()
    return written_point(times(int.from_bytes(whole[:32], "little") & ((1 << 254) - 8) | 1 << 254, BASE))


def written_point(where):
    inverse = pow(where[2], P - 2, P)
    x, y = where[0] * inverse % P, where[1] * inverse % P
    return (y | (x & 1) << 255).to_bytes(32, "little")


def prologue_of(said):
    who = said["invited"]
    invited = [0, [who]] if said["invited kind"] == "user" else [1, [bytes.fromhex(who)]]
    ids = [bytes.fromhex(said[name]) for name in ("token", "greeter user id", "greeter device id")]
    fields = ["parsec-enrol", 1, said["organisation"], ids[0], invited, ids[1], ids[2]]
    if said["transport"] == "relay":
        return encode(fields + [0])
    return encode(fields + [1, bytes.fromhex(said["peer key"])])


def psk_of(given):
    return noise.hkdf(b"", bytes.fromhex(given["link secret"]), b"parsec-enrol-v1 psk", 32)


def half(handshake, second, message):
    """Reads the other side's message 0 or 1."""
    need(len(message) == 48, "length")
    need(sound_encryption_key(message[:32]), "X25519 key")
    need(handshake.read(second, message), "another link or prologue")


def judge_channel(given):
    prologue, psk = prologue_of(given["prologue"]), psk_of(given)
    if "message" not in given:
        return {"prologue": prologue.hex(), "psk": psk.hex()}, None
    draws, message = [bytes.fromhex(one) for one in given["draws"]], bytes.fromhex(given["message"])
    handshake = noise.Handshake(prologue, psk, draws[0])
    if given["by"] == "greeter":
        half(handshake, False, message)
        return {"next message": handshake.write(True, message[:32]).hex()}, None
    handshake.write(False)
    half(handshake, True, message)
    commitment = mac(draws[1], b"parsec-enrol-v1 commit", handshake.h)
    sent = sealed.closed(handshake.split()[0], noise.nonce(0), b"", encode([commitment]))
    return {"next message": sent.hex()}, None


def sealed_name_of(key, nonce, organisation, kind, id_, text):
    raw = text.encode()
    plain = len(raw).to_bytes(2, "big") + raw + bytes(512 - len(raw))
    ad = b"parsec-name-v1\0" + encode([organisation, kind, id_, 1])
    return (1).to_bytes(4, "big") + nonce + sealed.closed_long(key, nonce, ad, plain)


def judge_ceremony(given):
    """Makes all nine messages, each side's with what it drew; a replaced one must not be taken."""
    said, new_user = given["prologue"], given["prologue"]["invited kind"] == "user"
    organisation, time, root = said["organisation"], given["time"], bytes.fromhex(given["root verify key"])
    log = whole_log(organisation, root, [bytes.fromhex(one) for one in given["log"]])
    keys = {name: bytes.fromhex(value) for name, value in given["greeter's keys"].items()}
    claimers, greeters = (
        [bytes.fromhex(one) for one in given[side]] for side in ("claimer's draws", "greeter's draws")
    )
    # What lies between are the decoys.
    c_secret, c_nonce = claimers[:2]
    g_secret, g_nonce = greeters[:2]
    signing, store, device_seed, *own = claimers[-4:] if new_user else claimers[-3:]
    octets(store, 32)
    messages, replaced = [], given.get("replaced") or {}

    def sent(message, taken):
        messages.append(message.hex())
        if replaced.get("step") == len(messages) - 1:
            need(taken(bytes.fromhex(replaced["message"])), "a changed message")

    prologue, psk = prologue_of(said), psk_of(given)
    claimer, greeter = noise.Handshake(prologue, psk, c_secret), noise.Handshake(prologue, psk, g_secret)
    first = claimer.write(False)
    sent(first, lambda message: False)
    half(greeter, False, first)
    second = greeter.write(True, first[:32])
    sent(second, lambda message: False)
    half(claimer, True, second)
    h, split = claimer.h, claimer.split()

    def spoken(value):
        step = len(messages)
        key, nonce = split[step % 2], noise.nonce(step // 2 - 1)
        sent(
            sealed.closed(key, nonce, b"", encode(value)),
            lambda message: sealed.opened_ietf(key, nonce, b"", message) is not None,
        )

    spoken([mac(c_nonce, b"parsec-enrol-v1 commit", h)])
    root_commitment = mac(g_nonce, b"parsec-enrol-v1 root", h, root)
    spoken([g_nonce, root_commitment, given["typing required"]])
    spoken([c_nonce])
    shown_by_claimer, shown_by_greeter = codes(
        split[0] + split[1], h, c_nonce, g_nonce, root_commitment, given["typing required"]
    )
    spoken([1])
    device_key = hpke.key_pair(device_seed)[1]
    user_key = hpke.key_pair(own[0])[1] if new_user else None
    claim = [
        given["name"] if new_user else None,
        given["label"],
        [1, user_key] if new_user else None,
        verify_key_of(signing),
        [1, device_key],
    ]
    spoken([claim, sign(signing, b"parsec-possession-v1\0", encode([h, claim]))])

    if new_user:
        device, user, name_nonce, label_nonce, *boxes = greeters[-9:]
        email, name, profile = said["invited"], given["name"], 1
    else:
        device, label_nonce, *boxes = greeters[-5:]
        user = bytes.fromhex(said["invited"])
        record_ = log.users[user]
        email, profile = record_["email"], record_["profile"]
        asked = {"organisation": organisation, "kind": "user", "id": user.hex(), "sealed": record_["name"].hex()}
        name = sealed_name(dict(asked, **{"directory key": keys["directory key"].hex()}))
    seen = [len(log.heads) - 1, log.heads[-1]]
    directory = keys["directory key"]
    bodies = []
    if new_user:
        sealed_ = sealed_name_of(directory, name_nonce, organisation, 0, user, name)
        bodies.append([0, [user, email, sealed_, key_hash(user_key), profile]])
    sealed_ = sealed_name_of(directory, label_nonce, organisation, 1, device, given["label"])
    bodies.append([1, [device, user, sealed_, verify_key_of(signing), key_hash(device_key), 0]])
    certificates = []
    for body in bodies:
        by = [1, [bytes.fromhex(said["greeter device id"])]]
        payload = encode([organisation, by, time, seen, body])
        signature = sign(keys["device signing key"], b"parsec-cert-v1\0", payload)
        certificates.append(encode([payload, signature]))
    secrets = [[[1, directory]]] if new_user else [[[1, directory]], keys["user's seed"]]
    secrets = hpke.seal(device_key, encode(["parsec-handover-v1", h]), b"", encode(secrets), boxes[0])
    challenges = [
        hpke.seal(key, encode(["parsec-challenge-v1", h, whose]), b"", boxes[1 + 2 * whose], boxes[2 + 2 * whose])
        for whose, key in enumerate([device_key, user_key] if new_user else [device_key])
    ]
    opened = sha(b"parsec-opened-v1\0", *boxes[1::2])
    mark = given["manifest"]
    mark = None if mark is None else [mark["version"], bytes.fromhex(mark["hash"])]
    handover = [user, device, email, name, given["label"], profile, root, seen, certificates]
    spoken(handover + [mark, secrets, challenges])

    for envelope in certificates:
        log.take(envelope)
    fields = [h, [sha(envelope) for envelope in certificates], root, opened]
    eighth = encode(fields + [sign(signing, b"parsec-receipt-v1\0", encode(fields))])
    sent(eighth, lambda message: message == eighth)
    seed = own[0] if new_user else keys["user's seed"]
    return {
        "messages": messages,
        "h": h.hex(),
        "opened": opened.hex(),
        "key hashes": [key_hash(key).hex() for key in (user_key, device_key) if key is not None],
        "claimer's code": shown_by_claimer,
        "greeter's code": shown_by_greeter,
        "kept": {
            "user id": user.hex(),
            "device id": device.hex(),
            "device signing key": signing.hex(),
            "user's seed": seed.hex(),
            "device's seed": device_seed.hex(),
            "directory key": directory.hex(),
            "manifest": given["manifest"],
            "certificates": [one.hex() for one in certificates],
        },
    }, None


# --- What safes seal

CHUNK = 524_288
PAGE = 1024
BLOCK = 256
EPOCHS_MAX = 50_000
RECORD_MAX = 262_144
RING_MAX, RING_PART, RING_PART_MAX = 262_144, 256, 524_288


def place_of(given):
    """Organisation, safe, epoch: what everything of a safe is bound to."""
    return [given["organisation"], bytes.fromhex(given["safe"]), given["epoch"]]


def key_check(key, place):
    return mac(key, b"parsec-safe-check-v1\0", encode(place))


def derived_of(key, purpose, place, length=32):
    return noise.hkdf(b"", key, b"parsec-safe-v1 " + purpose + b"\0" + encode(place), length)


def safe_key_of(given, place):
    """The key that a vector gives for an epoch."""
    text = given["keys"].get(str(place[2]))
    if text is None:
        raise Bad("no key of the epoch")
    return bytes.fromhex(text)


def judge_safe_key(given):
    key, place = bytes.fromhex(given["key"]), place_of(given)
    need(key_check(key, place).hex() == given["key check"], "key check")
    gives = {purpose: derived_of(key, purpose.encode(), place).hex() for purpose in ("record", "object", "past")}
    gives["digest"] = derived_of(key, b"digest", place).hex() if place[2] == 0 else None
    return gives, None


def judge_safe_box(given):
    place, user, box = place_of(given), bytes.fromhex(given["user"]), bytes.fromhex(given["box"])
    seed = bytes.fromhex(given["seed"])
    to = hpke.key_pair(seed)[1]
    info = encode(["parsec-box-v1"] + place + [user, key_hash(to)])
    need(len(box) >= ENCAPSULATION + 16, "length")
    need(sound_encryption_key(box[ENCAPSULATION - 32 : ENCAPSULATION]), "X25519 key of a box")
    key = hpke.open_(seed, info, b"", box)
    need(key is not None and len(key) == 32, "closed")
    need(key_check(key, place).hex() == given["key check"], "key check")
    drawn = derived_of(key, b"box", place + [user, key_hash(to)], 64)
    return {"key": key.hex(), "right": hpke.seal(to, info, b"", key, drawn) == box}, None


def judge_ring(given):
    head, parts = bytes.fromhex(given["head"]), [bytes.fromhex(part) for part in given["parts"]]
    organisation, safe, epoch, author, list_, hashes, past = optional(decode(head, RING_MAX), 6, 7)
    need(sha(head).hex() == given["ring hash"], "hash of a ring")
    need([organisation, safe, epoch] == place_of(given) and author.hex() == given["author"], "another ring")
    for one in list_:
        user, key = record(one, 2, "not of a list")
        octets(user, 16), octets(key, 32)
    need(sha(b"parsec-ring-list-v1\0", encode(list_)).hex() == given["list hash"], "list of a ring")
    need((past is None) == (epoch == 0), "past")
    need(len(hashes) == -(-len(list_) // RING_PART), "parts")
    for at, part in enumerate(parts):
        need(at < len(hashes) and sha(part) == hashes[at], "hash of a part")
        boxes = decode(part, RING_PART_MAX)
        need(isinstance(boxes, list) and len(boxes) == len(list_[at * RING_PART : (at + 1) * RING_PART]), "boxes of a part")
        for box in boxes:
            if box is not None:
                octets(box, ENCAPSULATION + 48)
    shown_list = [[user.hex(), key.hex()] for user, key in list_]
    return {"list": shown_list, "parts": len(hashes), "past": past is not None}, None


def past_list(keys, first):
    if not isinstance(keys, list):
        raise Bad("no list of keys")
    return {str(first + at): octets(key, 32).hex() for at, key in enumerate(keys) if key is not None}


def judge_past(given):
    key, place, past = bytes.fromhex(given["key"]), place_of(given), bytes.fromhex(given["past"])
    ad = b"parsec-past-v1\0" + encode(place)
    plain = sealed.opened(derived_of(key, b"past", place), past[:24], ad, past[24:])
    need(plain is not None, "closed")
    blocks, keys = record(decode(plain, 32 * 1024), 2, "not a past")
    if not isinstance(blocks, list) or not isinstance(keys, list):
        raise Bad("not a past")
    first = BLOCK * len(blocks)
    need(place[2] < EPOCHS_MAX and len(blocks) == place[2] // BLOCK and first + len(keys) == place[2], "number of keys")
    blocks = [record(block, 2, "not a block") for block in blocks]
    blocks = [(octets(key, 32), octets(hash_, 32)) for key, hash_ in blocks]
    shown_keys = past_list(keys, first)
    if given["block"] is None:
        return {"blocks": [hash_.hex() for _, hash_ in blocks], "keys": shown_keys}, None
    number, data = given["number"], bytes.fromhex(given["block"])
    need(number < len(blocks), "block")
    key, hash_ = blocks[number]
    need(sha(data) == hash_, "hash of a block")
    ad = b"parsec-past-block-v1\0" + encode(place[:2] + [number])
    plain = sealed.opened(key, data[:24], ad, data[24:])
    need(plain is not None, "closed block")
    keys = decode(plain, 16 * 1024)
    need(isinstance(keys, list) and len(keys) == BLOCK, "number of keys")
    return {"keys": past_list(keys, BLOCK * number)}, None


def padme(length):
    if length < 2:
        return length
    e = length.bit_length() - 1
    step = 1 << (e - e.bit_length())
    return -(-length // step) * step


def judge_safe_record(given):
    fields = record(decode(bytes.fromhex(given["payload"]), RECORD_MAX), 14, "not a record")
    place, nonce, ciphertext = [fields[0], fields[1], fields[4]], fields[12], fields[13]
    key = safe_key_of(given, place)
    ad = b"parsec-record-v1 ad\0" + encode(fields[:12])
    plain = sealed.opened(derived_of(key, b"record", place), nonce, ad, ciphertext)
    need(plain is not None and len(plain) >= 4, "closed")
    length = int.from_bytes(plain[:4], "big")
    need(len(plain) == padme(4 + length) and len(plain) >= 4 + length, "length")
    need(not any(plain[4 + length :]), "padding")
    inside = plain[4 : 4 + length]
    found = decode(inside, RECORD_MAX)
    need(isinstance(found, list) and found and found[0] == 1 and found[0] is not True, "rules of a later version")
    _, root, changes = record(found, 3, "not an inside")
    octets(root, 32)
    need(isinstance(changes, list), "no list of changes")
    return {"inside": inside.hex()}, None


def object_of(given):
    """The plaintext of an object."""
    data, place = bytes.fromhex(given["sealed"]), place_of(given)
    need(blake3.digest(data).hex() == given["blake3"], "hash of an object")
    key, id_ = safe_key_of(given, place), bytes.fromhex(given["object"])
    # HKDF's second half alone.
    once = mac(derived_of(key, b"object", place), b"parsec-object-v1\0", id_, b"\1")
    ad = b"parsec-object-v1 ad\0" + encode(place + [id_, {"chunk": 0, "page": 1, "snapshot": 2}[given["kind"]]])
    plain = gcm.opened(once, bytes(12), ad, data)
    if plain is None:
        raise Bad("closed")
    return plain


def judge_object(given):
    return {"plaintext": object_of(given).hex()}, None


def chunk_lengths(size, number):
    """How many chunks a file has, and of one how many bytes, and how many with its padding."""
    count = -(-size // CHUNK)
    need(number < count, "no such chunk")
    length = min(CHUNK, size - number * CHUNK)
    return count, length, CHUNK if size > 8 * 1024 * 1024 else min(CHUNK, padme(length))


def judge_padding(given):
    return dict(zip(("chunks", "length", "padded"), chunk_lengths(given["size"], given["chunk"]))), None


def judge_piece(given):
    plain, size, number = object_of(given), given["size"], given["number"]
    if given["kind"] == "page":
        page = decode(plain, 3 + PAGE * 61)
        left = -(-size // CHUNK) - number * PAGE
        need(isinstance(page, list) and len(page) == min(PAGE, left), "number of references")
        for reference in page:
            if reference is not None:
                id_, epoch, hash_ = record(reference, 3, "not a reference")
                octets(id_, 16), natural(epoch), octets(hash_, 32)
        return {"references": plain.hex()}, None
    _, length, padded = chunk_lengths(size, number)
    need(len(plain) == padded, "length of a piece")
    need(not any(plain[length:]), "padding of a piece")
    return {"bytes": plain[:length].hex()}, None


SNAPSHOT_MAX = 1024 * CHUNK
DEPTH_MAX = 100


def judge_snapshot(given):
    data = bytes.fromhex(given["state"])
    need(sha(b"parsec-snapshot-v1\0", data).hex() == given["root"], "root of a snapshot")
    said = record(decode(data, SNAPSHOT_MAX), 10, "not a state")
    safe, seq, _, days, devices, marks, objects, endangered, snapshots, entries = said
    octets(safe, 16), natural(seq), natural(days)
    for part in (devices, marks, objects, endangered, snapshots, entries):
        if not isinstance(part, list):
            raise Bad("not a state")
    for part in (devices, objects):
        ids = [octets(record(pair, 2, "no pair")[0], 16) for pair in part]
        need(ids == sorted(set(ids)), "order")
    need(endangered == sorted(set(endangered)), "order")
    seqs = [natural(record(snapshot, 2, "not a snapshot")[0]) for snapshot in snapshots]
    need(len(seqs) <= 2 and seqs == sorted(set(seqs)), "snapshots")
    above, names = {}, set()
    for entry in entries:
        # The last field is left off where there is none.
        need(isinstance(entry, list) and len(entry) in (13, 14) and entry[-1] is not None, "not an entry")
        id_, kind, parent, name = entry[:4]
        need(octets(id_, 16) != safe and (not above or id_ > max(above)), "order of entries")
        need((parent is None) == (entry[9] is not None), "place")
        need(parent is None or (parent, name) not in names, "name")
        names.add((parent, name))
        above[id_] = (parent, kind[0] == 0)
    for id_ in above:
        depth = 0
        while id_ != safe and id_ is not None:
            parent, _ = above[id_]
            need(parent in (None, safe) or above.get(parent, (None, False))[1], "no folder")
            id_, depth = parent, depth + 1
            need(depth <= DEPTH_MAX, "depth")
    need(safe == bytes.fromhex(given["safe"]) and seq + 1 == given["seq"], "place of a snapshot")
    return {"records": seq, "entries": len(entries), "objects": len(objects)}, None


def judge_safe_log(given, listed):
    envelopes = [listed[number] for number in given["envelopes"]]
    items = [[is_record, listed[number]] for is_record, number in given["items"]]
    gives = safes().whole({**given, "envelopes": envelopes, "items": items})
    why = gives.pop("why")
    # Anything before the last stands, or this is no judgement of the last.
    need(why is None or gives["items"] != len(items) - 1, why)
    return gives if why is None else "an item before the last", None


CONSTRUCTS = {
    "key": judge_safe_key,
    "box": judge_safe_box,
    "ring": judge_ring,
    "past": judge_past,
    "record": judge_safe_record,
    "object": judge_object,
    "padding": judge_padding,
    "piece": judge_piece,
    "snapshot": judge_snapshot,
    "log": judge_safe_log,
}

LAYERS = {
    "box": judge_box,
    "codec": judge_codec,
    "email": judge_email,
    "hints": judge_hints,
    "key": judge_key,
    "label": judge_label,
    "manifest": judge_manifest,
    "name": judge_name,
    "certificate": judge_certificate,
    "code": judge_code,
    "commitment": judge_commitment,
    "link": judge_link,
    "log": judge_log,
    "receipt": judge_receipt,
    "request": judge_request,
    "sas": judge_sas,
    "user-key": judge_user_key,
    "kit": judge_kit,
    "directory": judge_directory,
    "plan": judge_plan,
    "share": judge_share,
    "channel": judge_channel,
    "ceremony": judge_ceremony,
}


def agrees(vector, judge):
    """Whether this program says of a vector what the vector says of itself."""
    refuse = vector["refuse"]
    try:
        gives, position = judge(vector["given"])
    except Bad:
        return refuse is not None
    if position is not None:
        return isinstance(refuse, dict) and refuse["position"] == position
    if refuse is not None:
        return False
    if isinstance(gives, dict):
        return all(vector["gives"].get(name) == value for name, value in gives.items())
    return gives is None or gives == vector["gives"]


def vectors(folder, layer=None):
    """How many vectors of layers that this program knows there are; the names of those that it judges otherwise."""
    judged, wrong = 0, []
    for name in sorted(os.listdir(folder)):
        if not name.endswith(".json"):
            continue
        with open(os.path.join(folder, name), encoding="utf-8") as file:
            vector = json.load(file)
        if vector["layer"] in LAYERS and layer in (None, vector["layer"]):
            judged += 1
            if not agrees(vector, LAYERS[vector["layer"]]):
                wrong.append(name)
    safes = os.path.join(folder, "safes")
    for name in sorted(os.listdir(safes)):
        with open(os.path.join(safes, name), encoding="utf-8") as file:
            construct = json.load(file)
        if construct["construct"] in CONSTRUCTS and layer in (None, "safe-" + construct["construct"]):
            judge = CONSTRUCTS[construct["construct"]]
            if "bytes" in construct:
                judge = functools.partial(judge, listed=construct["bytes"])
            for vector in construct["vectors"]:
                judged += 1
                if not agrees(vector, judge):
                    wrong.append("%s: %s" % (name, vector["about"]))
    return judged, wrong


def main(arguments):
    while arguments and arguments[0] == "--forget":
        FORGET.add(arguments[1])
        arguments = arguments[2:]
    if arguments == ["compare"]:
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), flush=True)
        return 0
    if len(arguments) in (2, 3) and arguments[0] == "vectors":
        judged, wrong = vectors(*arguments[1:])
        for line in wrong:
            print(line)
        print("%d vectors judged, %d otherwise than they say" % (judged, len(wrong)))
        return 1 if wrong or not judged else 0
    if len(arguments) == 2 and arguments[0] == "file":
        with open(arguments[1], "rb") as file:
            data = file.read(FILE_MAX + 1)
        try:
            print("it is a valid file of the kind %s" % evidence(data))
            return 0
        except Bad as why:
            print("it shows nothing: %s" % why)
            return 1
    if len(arguments) == 2 and arguments[0] == "safe":
        with open(arguments[1], encoding="utf-8") as file:
            gives = safes().whole(json.load(file))
        print(json.dumps(gives))
        return 1 if gives["why"] else 0
    if len(arguments) == 2 and arguments[0] == "archive":
        with open(arguments[1], "rb") as file:
            try:
                print("all of it is right: %s" % archive.verify(sys.modules[__name__], file))
                return 0
            except Bad as why:
                print("it shows nothing: %s" % why)
                return 1
    if len(arguments) == 2 and arguments[0] == "log":
        with open(arguments[1], encoding="utf-8") as file:
            given = json.load(file)
        envelopes = [bytes.fromhex(one) for one in given["envelopes"]]
        count, head_, why = read_log(given["organisation"], bytes.fromhex(given["root"]), envelopes)
        print("%d certificates stand, head %s" % (count, head_.hex()))
        if why:
            print("certificate %d does not: %s" % (count, why))
        return 1 if why else 0
    print(__doc__)
    return 2


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

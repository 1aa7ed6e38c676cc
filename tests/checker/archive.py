"""Sealed archives of safes, read by docs/formats.md and docs/protocol.md alone.

Decides whether a file is whole, whether both logs of its safe are chains of what members' devices signed, under the organisation's log in
it, and whether every object has its hash. Opens nothing: who may read is no question here. Refuses what it does not know.
"""

import hashlib

import blake3

MAGIC = b"parsec-archive-v1\n"
ABOUT, CERTIFICATE, RING, BOX, SAFE_CERTIFICATE, RECORD, OBJECT, END = range(8)
MOST = {
    ABOUT: 512,
    CERTIFICATE: 2_048,
    RING: 299_779,
    BOX: 1_232,
    SAFE_CERTIFICATE: 4_096,
    RECORD: 262_144,
    OBJECT: 48 + 524_304,
    END: 64,
}
READER = 3


class Safe:
    """The two logs of a safe, item by item."""

    def __init__(self, rules, log, organisation, safe, founder):
        self.rules, self.log, self.organisation, self.safe = rules, log, organisation, safe
        named = rules.encode([organisation, safe, founder])
        self.certificates = [0, rules.sha(b"parsec-safe-log-v1\0", named)]
        self.records = [0, rules.sha(b"parsec-journal-v1\0", named)]
        self.founder, self.seen, self.epoch, self.ring = founder, 0, 0, None
        self.roles, self.added = {}, set()

    def after(self, head, envelope):
        return [head[0] + 1, self.rules.sha(head[1], self.rules.sha(envelope))]

    def author(self, device, seen, context, payload, signature):
        """The user whose device this is, where it may sign as of then."""
        rules = self.rules
        count, hash_ = rules.record(seen, 2, "not a head")
        rules.need(rules.natural(count) < len(self.log.heads) and self.log.heads[count] == hash_, "seen")
        rules.need(count >= self.seen, "seen went back")
        known = self.log.devices.get(rules.octets(device, 16))
        if known is None or known["at"] >= count:
            raise rules.Bad("author unknown")
        rules.need(known["kind"] == 0, "recovery device")
        rules.need(known["gone"] is None or known["gone"] >= count, "author revoked")
        rules.need(rules.signed(known["key"], context, payload, signature), "signature")
        self.seen = count
        return known["user"]

    def certificate(self, envelope):
        rules = self.rules
        payload, signature = rules.record(rules.decode(envelope, MOST[SAFE_CERTIFICATE]), 2, "not an envelope")
        rules.octets(signature, 64)
        fields = rules.record(rules.decode(payload, MOST[SAFE_CERTIFICATE]), 8, "not a payload")
        organisation, safe, previous, place, seen, device, time, body = fields
        rules.need([organisation, safe] == [self.organisation, self.safe], "other safe")
        rules.need(previous == self.certificates and place == self.records, "out of its place")
        rules.natural(time)
        user = self.author(device, seen, b"parsec-safe-cert-v1\0", payload, signature)
        kind, said = rules.choice(body, {0: 5, 1: 3, 2: 3})
        first = self.certificates[0] == 0
        rules.need((kind == 0) == first and (not first or device == self.founder), "founding")
        rules.need(first or user in self.roles, "no member")
        if kind == 0:
            self.roles[user] = 0
            self.ring = rules.octets(said[4], 32)
        elif kind == 1:
            changes, key, _ = said
            for change in changes:
                whom, role = rules.record(change, 2, "not a change")
                self.roles.pop(rules.octets(whom, 16), None)
                if role is not None:
                    rules.need(rules.natural(role) <= READER, "unknown role")
                    self.roles[whom] = role
            if key is not None:
                epoch, _, _, ring, _ = rules.record(key, 5, "not a key")
                rules.need(epoch == self.epoch + 1, "epoch")
                self.epoch, self.ring = epoch, rules.octets(ring, 32)
        self.certificates = self.after(self.certificates, envelope)

    def record(self, envelope):
        rules = self.rules
        payload, signature = rules.record(rules.decode(envelope, MOST[RECORD]), 2, "not an envelope")
        rules.octets(signature, 64)
        fields = rules.record(rules.decode(payload, MOST[RECORD]), 14, "not a record")
        organisation, safe, seq, previous, epoch, seen, log, device, time, adds, drops, keeps = fields[:12]
        rules.need([organisation, safe] == [self.organisation, self.safe], "other safe")
        rules.need(seq == self.records[0] + 1 and previous == self.records[1], "out of its place")
        rules.need(log == self.certificates, "behind another certificate")
        rules.need(epoch == self.epoch, "epoch")
        rules.natural(time)
        user = self.author(device, seen, b"parsec-record-v1\0", payload, signature)
        role = self.roles.get(user, READER)
        rules.need(role < READER and (not drops or role < 2), "role")
        for id_ in adds + drops + keeps:
            rules.octets(id_, 16)
        self.added.update(adds)
        self.records = self.after(self.records, envelope)


def frames(rules, file):
    """The frames of a file, each with its kind; raises Bad where it is not whole."""
    rules.need(file.read(len(MAGIC)) == MAGIC, "no archive")
    digest, number, before = hashlib.sha256(MAGIC), 0, None
    while before != END:
        header = file.read(5)
        rules.need(len(header) == 5, "truncated")
        kind, length = header[0], int.from_bytes(header[1:], "big")
        rules.need(kind in MOST, "unknown kind")
        together = before == RECORD and kind == SAFE_CERTIFICATE
        rules.need(kind == ABOUT if before is None else kind != ABOUT and (kind >= before or together), "out of order")
        rules.need(length <= MOST[kind], "too long")
        data = file.read(length)
        rules.need(len(data) == length, "truncated")
        if kind == END:
            rules.need(data == rules.encode([number, digest.digest()]), "digest")
            rules.need(file.read(1) == b"", "something behind the end")
        digest.update(header + data)
        number, before = number + 1, kind
        yield kind, data


def placed(log):
    """Notes when a device came and when it went: an item is judged as of its own view."""
    at = len(log.heads) - 2
    for device in log.devices.values():
        device.setdefault("at", at)
        if device.setdefault("gone", None) is None and device["revoked"]:
            device["gone"] = at


def verify(rules, file):
    """What an archive holds: a sentence. Raises Bad where it shows nothing."""
    log = safe = about = None
    rings, objects = set(), set()
    for kind, data in frames(rules, file):
        if kind == ABOUT:
            about = rules.record(rules.decode(data, MOST[ABOUT]), 9, "not a head")
            version, organisation, root, id_, founder = about[:5]
            rules.need(version == 1 and version is not True, "a later version")
            log = rules.Log(organisation, rules.octets(root, 32))
            safe = Safe(rules, log, organisation, rules.octets(id_, 16), rules.octets(founder, 16))
        elif kind == CERTIFICATE:
            log.take(data)
            placed(log)
        elif kind == RING:
            rings.add(rules.sha(data))
        elif kind == SAFE_CERTIFICATE:
            safe.certificate(data)
        elif kind == RECORD:
            safe.record(data)
        elif kind == OBJECT:
            rules.need(len(data) >= 48, "truncated object")
            id_, hash_, sealed = data[:16], data[16:48], data[48:]
            rules.need(blake3.digest(sealed) == hash_, "hash of an object")
            rules.need(id_ in safe.added and id_ not in objects, "an object of nobody's")
            objects.add(id_)
    rules.need([len(log.heads) - 1, log.heads[-1]] == about[6], "the organisation's log is not all there")
    rules.need(safe.certificates == about[7], "the safe's log is not all there")
    rules.need(safe.records == about[8], "the journal is not all there")
    rules.need(safe.ring in rings, "the ring of the present key is missing")
    return "%d certificates of the organisation, %d of the safe, %d records, %d objects" % (
        len(log.heads) - 1,
        safe.certificates[0],
        safe.records[0],
        len(objects),
    )

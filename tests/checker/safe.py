"""Safes: a safe log, its journal and its objects, judged and folded by docs/protocol.md, *Safes*, alone.

Decides which certificate or record is the first that may not stand where it is, which records are void, what the tree is, and what its files
hold. Refuses what it does not know by saying so, as `check.py` does, whose arithmetic it takes.
"""

import copy

import blake3
import gcm
import hpke
import sealed
from check import (
    Bad,
    Log,
    choice,
    chunk_lengths,
    decode,
    derived_of,
    encode,
    key_check,
    key_hash,
    mac,
    natural,
    need,
    octets,
    optional,
    padme,
    record,
    sha,
    signed,
)

CERTIFICATE_MAX, RECORD_MAX, RING_MAX, OBJECT_MAX = 4096, 262_144, 262_144, 524_304
LOG_MAX, LOG_KEPT, EPOCHS_MAX, MEMBERS_MAX, CHANGES_MAX = 100_000, 10_000, 50_000, 1_000, 32
ENTRIES_MAX, ENTRIES_EACH_MAX, DEPTH_MAX = 1_000_000, 200_000, 100
CHUNK, PAGE, DIRECT_MAX, BLOCK, PART = 524_288, 1024, 16, 256, 256
OWNER, MANAGER, CONTRIBUTOR, READER = range(4)
DAY = 86_400_000_000
ENROLMENTS = (0, 1)
OPEN, READ_ONLY, DELETED = range(3)
ADD, CONTENT, MOVE, REMOVE, RESTORE, ATTRIBUTES, REPLACE, NAME, RETENTION, PRUNE = range(10)
FOLDER, FILE, SYMLINK = range(3)


class Void(Exception):
    """Why a record that stands changes nothing."""


def rule(holds, why):
    if not holds:
        raise Void(why)


def place(value):
    count, hash_ = record(value, 2, "not a head")
    return natural(count), octets(hash_, 32)


class Members:
    """The organisation's log as it was at each of its places."""

    def __init__(self, organisation, root, envelopes):
        self.log = Log(organisation, root)
        self.kinds, self.at = [], [({}, {})]
        for envelope in envelopes:
            self.log.take(envelope)
            payload = decode(record(decode(envelope, 2048), 2, "not an envelope")[0], 2048)
            self.kinds.append(payload[4][0])
            self.at.append(copy.deepcopy((self.log.users, self.log.devices)))

    def see(self, seen):
        count, hash_ = seen
        need(count < len(self.log.heads) and self.log.heads[count] == hash_, "seen")
        return count

    def device(self, n, device):
        """An ordinary device of n that is not revoked, nor is its user: the user and the key."""
        users, devices = self.at[n]
        if device not in devices:
            raise Bad("author unknown")
        it = devices[device]
        need(it["kind"] == 0 and not it["revoked"] and not users[it["user"]]["revoked"], "author revoked")
        return it["user"], it["key"]

    def role(self, n, user, role):
        """role* of a user to whom the safe log gives a role."""
        users, devices = self.at[n]
        if role is None or user not in users or users[user]["revoked"]:
            return None
        if not any(it["user"] == user and not it["revoked"] for it in devices.values()):
            return None
        return max(role, CONTRIBUTOR) if users[user]["profile"] == 2 else role

    def suspended(self, n, user):
        it = self.at[n][0][user]
        return it["device revoked at"] > it["key at"]

    def outsider(self, n, user):
        return self.at[n][0][user]["profile"] == 2

    def key(self, n, user):
        return self.at[n][0][user]["key"]

    def news(self, before, now):
        """Whether something that is no enrolment lies between two views."""
        return any(kind not in ENROLMENTS for kind in self.kinds[before:now])


class Safe:
    """What stands of a safe: who may do what, which key is current, where both chains end."""

    def __init__(self, members, organisation, safe):
        self.members, self.organisation, self.safe = members, organisation, safe
        self.log, self.journal, self.seen = None, None, 0
        self.roles, self.epochs, self.holders, self.left = {}, [], {}, False
        self.state, self.suite, self.format = [OPEN, []], 1, 1
        self.lost = set()

    def starred(self, n, roles=None):
        """role* of everybody who has one."""
        roles = self.roles if roles is None else roles
        found = {user: self.members.role(n, user, role) for user, role in roles.items()}
        return {user: role for user, role in found.items() if role is not None}

    def due(self, n):
        roles = self.starred(n)
        gone = any(
            user not in roles or self.members.suspended(n, user) or self.members.key(n, user) != key
            for user, key in self.holders.items()
        )
        return gone or self.left

    def list_hash(self, n, roles):
        """Of everybody who counts, the hash of their key."""
        counts = sorted(user for user in self.starred(n, roles) if not self.members.suspended(n, user))
        return [[user, self.members.key(n, user)] for user in counts]

    def outside(self, data, limit, fields, context):
        payload, signature = record(decode(data, limit), 2, "not an envelope")
        octets(signature, 64)
        if not isinstance(payload, bytes):
            raise Bad("no payload")
        said = record(decode(payload, limit), fields, "not a payload")
        need(said[0] == self.organisation, "other organisation")
        need(octets(said[1], 16) == self.safe, "other safe")
        return said, lambda key: need(signed(key, context, payload, signature), "signature")

    def view(self, seen):
        n = self.members.see(place(seen))
        need(n >= self.seen, "seen falls")
        return n

    def took(self, n):
        """Who may have the key from here on."""
        for user in self.starred(n):
            if not self.members.suspended(n, user):
                self.holders.setdefault(user, self.members.key(n, user))
        self.seen = n

    def certificate(self, data):
        """Adds a certificate. Raises Bad, and then nothing has changed."""
        said, check = self.outside(data, CERTIFICATE_MAX, 8, b"parsec-safe-cert-v1\0")
        previous, where, device, time, body = place(said[2]), place(said[3]), octets(said[5], 16), natural(said[6]), said[7]
        kind, _ = record(body, 2, "not a choice")
        first = self.log is None
        log, journal = self.log, self.journal
        if first:
            start = encode([self.organisation, self.safe, device])
            log, journal = (0, sha(b"parsec-safe-log-v1\0", start)), (0, sha(b"parsec-journal-v1\0", start))
        need(previous == log and where == journal, "previous or place")
        need(log[0] < LOG_MAX, "log full")
        n = self.view(said[4])
        user, key = self.members.device(n, device)
        check(key)
        need((kind == 0) == first, "created first and once")
        if self.state[0] == DELETED:
            need(time < self.state[1][0], "deleted")
        if kind == 0:
            self.created(n, user, record(body[1], 5, "other fields"))
        else:
            role = self.starred(n).get(user)
            need(role is not None, "no role")
            if kind == 1:
                due = self.due(n)
                changes, key, boxes = optional(body[1], 1, 3)
                takes_over = self.changed(n, user, role, due, changes, key, boxes)
                last = log[0] < LOG_MAX - LOG_KEPT or role == OWNER or takes_over or (key is not None and due)
                need(last, "log full")
            elif kind == 2:
                need(log[0] < LOG_MAX - LOG_KEPT or role == OWNER, "log full")
                self.stated(n, user, role, record(body[1], 3, "other fields"))
            else:
                raise Bad("unknown case")
        self.log = (log[0] + 1, sha(log[1], sha(data)))
        self.journal = journal
        self.took(n)

    def new_key(self, epoch, check, list_, ring):
        self.epochs.append({"check": octets(check, 32), "list": list_, "ring": octets(ring, 32)})
        self.holders, self.left = dict(list_), False

    def created(self, n, user, said):
        suite, format_, check, list_, ring = said
        need((natural(suite), natural(format_)) == (1, 1), "suite or format")
        need(not self.members.outsider(n, user) and not self.members.suspended(n, user), "who creates")
        found = self.list_hash(n, {user: OWNER})
        need(octets(list_, 32) == sha(b"parsec-ring-list-v1\0", encode(found)), "list")
        octets(check, 32), octets(ring, 32)
        self.roles = {user: OWNER}
        self.new_key(0, check, found, ring)

    def changed(self, n, me, role, due, changes, key, boxes):
        if not isinstance(changes, list):
            raise Bad("no list of changes")
        changes = [optional(one, 1, 2) for one in changes]
        need(len(changes) <= CHANGES_MAX, "too many changes")
        need(all(one[0] < two[0] for one, two in zip(changes, changes[1:])), "changes in order")
        users = self.members.at[n][0]
        after, newcomers = dict(self.roles), []
        for user, new in changes:
            need(octets(user, 16) in users, "user unknown")
            old = self.roles.get(user)
            need(old != new, "the same role")
            if new is None:
                del after[user]
                continue
            need(natural(new) <= READER, "unknown role")
            need(not users[user]["revoked"], "user revoked")
            need(new >= CONTRIBUTOR or not self.members.outsider(n, user), "outsider")
            after[user] = new
            if old is None and not self.members.suspended(n, user):
                newcomers.append(user)
        need(len(after) <= MEMBERS_MAX, "too many members")
        before = self.starred(n)
        leaves = [me, None] in changes
        witness = not changes and key is None
        inside = {it: role_ for it, role_ in before.items() if not self.members.outsider(n, it)}
        takes_over = False
        if changes == [[me, OWNER]] and role != OWNER:
            takes_over = OWNER not in before.values() and me in inside and role == min(inside.values())
            need(takes_over, "takeover")
        suspended = self.members.suspended(n, me)
        need(not suspended or (leaves and len(changes) == 1 and key is None), "suspended")
        if not takes_over and role != OWNER:
            few = (CONTRIBUTOR, READER, None)
            for user, new in changes:
                own = user == me and new is None
                by_manager = role == MANAGER and self.roles.get(user) in few and new in few
                raised = user == me and new is not None and new < self.roles.get(user, READER + 1)
                need(own or (by_manager and not raised), "may not")
        owners = {user for user, it in before.items() if it == OWNER}
        kept = {user for user, it in self.starred(n, after).items() if it == OWNER}
        need(not owners or kept, "last owner")
        if leaves:
            need(len(changes) == 1 and key is None, "who leaves")
        else:
            others = any(new is None for _, new in changes)
            need(key is not None or not others, "removed without a key")
            may = role <= CONTRIBUTOR
            need(key is not None or not due or (witness and not may), "due")
        if witness:
            need(self.members.news(self.seen, n), "witness of nothing")
        need((boxes is not None) == (bool(newcomers) and key is None), "boxes")
        if boxes is not None:
            octets(boxes, 32)
        if key is not None:
            epoch, check, list_, ring, lost = record(key, 5, "not a key")
            may = role <= MANAGER or (role == CONTRIBUTOR and due) or (takes_over and due)
            need(may, "who brings a key")
            need(natural(epoch) == len(self.epochs) and epoch < EPOCHS_MAX, "epoch")
            need(natural(lost) == 0 or role == OWNER, "lost")
            need(lost <= len(self.epochs), "lost")
            found = self.list_hash(n, after)
            need(octets(list_, 32) == sha(b"parsec-ring-list-v1\0", encode(found)), "list")
            octets(check, 32), octets(ring, 32)
            self.lost |= set(range(len(self.epochs) - lost, len(self.epochs)))
        self.roles = after
        if key is not None:
            self.new_key(epoch, check, found, ring)
        elif leaves:
            self.left = True
        return takes_over

    def stated(self, n, me, role, said):
        state, format_, suite = said
        number, fields = choice(state, {OPEN: 0, READ_ONLY: 0, DELETED: 1})
        if number == DELETED:
            natural(fields[0])
        need(not self.members.suspended(n, me), "suspended")
        need(role == OWNER, "not an owner")
        need((natural(format_), natural(suite)) == (1, 1), "suite or format")
        need(format_ >= self.format and suite >= self.suite, "lowered")
        need([number, fields] != self.state or (format_, suite) != (self.format, self.suite), "the same state")
        self.state, self.format, self.suite = [number, fields], format_, suite

    def record(self, data):
        """Adds a record; what is outside of it, by name. Raises Bad, and then nothing has changed."""
        said, check = self.outside(data, RECORD_MAX, 14, b"parsec-record-v1\0")
        seq, previous, epoch, seen, log, device, time = said[2:9]
        if self.log is None:
            raise Bad("created first and once")
        need(natural(seq) == self.journal[0] + 1 and octets(previous, 32) == self.journal[1], "previous")
        need(place(log) == self.log, "log")
        n = self.view(seen)
        user, key = self.members.device(n, octets(device, 16))
        role = self.starred(n).get(user)
        need(role is not None and role <= CONTRIBUTOR and not self.members.suspended(n, user), "may not write")
        for ids in said[9:12]:
            if not isinstance(ids, list):
                raise Bad("no list of objects")
            for id_ in ids:
                octets(id_, 16)
        need(not said[10] or role <= MANAGER, "drops")
        need(self.state[0] == OPEN, "not open")
        need(natural(epoch) == len(self.epochs) - 1 and not self.due(n), "epoch")
        natural(time), octets(said[12], 24)
        if not isinstance(said[13], bytes):
            raise Bad("no ciphertext")
        check(key)
        self.journal = (seq, sha(self.journal[1], sha(data)))
        self.took(n)
        names = ("seq", "epoch", "user", "device", "role", "time", "adds", "drops", "keeps")
        outer = dict(zip(names, (seq, epoch, user, device, role, time, said[9], said[10], said[11])))
        outer["said"] = said
        return outer

    def place_of(self, epoch):
        return [self.organisation, self.safe, epoch]

    def own_key(self, epoch, rings, parts, user, seed):
        """The key of an epoch out of its ring, with the seed of a user."""
        head = rings[self.epochs[epoch]["ring"]]
        need(len(head) <= RING_MAX and sha(head) == self.epochs[epoch]["ring"], "hash of a ring")
        organisation, safe, number, author, list_, hashes, past = optional(decode(head, RING_MAX), 6, 7)
        need([organisation, safe, number] == self.place_of(epoch), "another ring")
        octets(author, 16)
        need(list_ == [list(one) for one in self.epochs[epoch]["list"]], "list of a ring")
        need(len(hashes) == -(-len(list_) // PART), "parts")
        need((past is None) == (epoch == 0), "past")
        at = [one[0] for one in list_].index(user)
        part = parts[octets(hashes[at // PART], 32)]
        need(sha(part) == hashes[at // PART], "hash of a part")
        box = decode(part, RING_MAX * 2)[at % PART]
        to = hpke.key_pair(seed)[1]
        info = encode(["parsec-box-v1"] + self.place_of(epoch) + [user, key_hash(to)])
        key = hpke.open_(seed, info, b"", box)
        need(key is not None and key_check(key, self.place_of(epoch)) == self.epochs[epoch]["check"], "key check")
        drawn = derived_of(key, b"box", self.place_of(epoch) + [user, key_hash(to)], 64)
        need(hpke.seal(to, info, b"", key, drawn) == box, "not the right box")
        return key, past

    def earlier(self, epoch, key, past):
        """Keys that the past of a ring opens, by their epochs."""
        ad = b"parsec-past-v1\0" + encode(self.place_of(epoch))
        plain = sealed.opened(derived_of(key, b"past", self.place_of(epoch)), past[:24], ad, past[24:])
        need(plain is not None, "closed past")
        blocks, keys = record(decode(plain, 32 * 1024), 2, "not a past")
        need(not blocks and len(keys) == epoch < BLOCK, "blocks of keys are not read here")
        found = {at: one for at, one in enumerate(keys) if one is not None}
        for at, one in found.items():
            need(key_check(one, self.place_of(at)) == self.epochs[at]["check"], "key check")
        return found


class Tree:
    """The state that the records make."""

    def __init__(self, safe):
        self.safe = safe
        self.entries, self.children = {}, {}
        self.name, self.retention, self.devices, self.marks = None, 90, {}, []
        self.objects = {}

    # --- what stands where

    def live(self, id_):
        while id_ != self.safe:
            it = self.entries.get(id_)
            if it is None or it["removed"] is not None:
                return False
            id_ = it["parent"]
        return True

    def folder(self, id_):
        return id_ == self.safe or (id_ in self.entries and self.entries[id_]["kind"][0] == FOLDER)

    def below(self, id_, above):
        """Whether one is another, or somewhere below it."""
        while id_ is not None:
            if id_ == above:
                return True
            it = self.entries.get(id_)
            id_ = None if it is None else it["parent"]
        return False

    def depth(self, id_):
        steps = 0
        while id_ != self.safe:
            steps, id_ = steps + 1, self.entries[id_]["parent"]
        return steps

    def height(self, id_):
        return 1 + max((self.height(child) for child in self.of(id_)), default=0)

    def of(self, parent):
        return [id_ for id_, it in self.entries.items() if it["parent"] == parent and it["removed"] is None]

    def taken(self, parent, name, but=None):
        return any(id_ != but and self.entries[id_]["name"] == name for id_ in self.of(parent))

    def fits(self, id_, parent, name, height):
        rule(self.folder(parent) and self.live(parent), "parent is no live folder")
        rule(id_ is None or not self.below(parent, id_), "below itself")
        rule(not self.taken(parent, name, id_), "name taken")
        rule(self.depth(parent) + height <= DEPTH_MAX, "too deep")

    # --- contents

    def references(self, content):
        number, (found,) = content[2]
        return [one for one in found if one is not None]

    def content(self, outer, value, adds):
        try:
            size, digest, references = record(value, 3, "not a content")
            natural(size)
            if digest is not None:
                octets(digest, 32)
            number, (found,) = choice(references, {0: 1, 1: 1})
            if not isinstance(found, list):
                raise Bad("no references")
            for one in found:
                if one is None:
                    need(number == 0, "a page that is none")
                    continue
                id_, epoch, hash_ = record(one, 3, "not a reference")
                octets(id_, 16), natural(epoch), octets(hash_, 32)
        except Bad as why:
            raise Void(str(why))
        rule(size <= 1 << 40, "too large")
        count = -(-size // CHUNK)
        rule(len(found) == (count if number == 0 else -(-count // PAGE)), "number of references")
        rule((number == 0) == (count <= DIRECT_MAX), "direct or paged")
        for id_, epoch, _ in self.references(value):
            rule(id_ in self.objects or id_ in adds, "unknown object")
            rule(id_ not in outer["adds"] or epoch == outer["epoch"], "another epoch")

    def named(self):
        """Every object that the state names itself."""
        contents = [it["kind"][1][0] for it in self.entries.values() if it["kind"][0] == FILE]
        contents += [one[1] for it in self.entries.values() for one in it["versions"]]
        return {one[0] for content in contents for one in self.references(content)}

    # --- time

    def age(self, outer, seq):
        mark = next((time for at, time in self.marks if at >= seq), None)
        return None if mark is None else outer["time"] - mark

    def mark(self, outer):
        if outer["role"] > MANAGER:
            return
        if not self.marks or outer["time"] >= self.marks[-1][1] + DAY:
            self.marks.append([outer["seq"], outer["time"]])

    # --- folding

    def fold(self, outer, inside):
        """Folds a record. Raises Void, and then the tree is what it was."""
        self.mark(outer)
        before = copy.deepcopy((self.entries, self.name, self.retention))
        try:
            rules, _, changes = record(decode(inside, RECORD_MAX), 3, "not an inside")
            need(rules == 1 and rules is not True, "other rules")
            if not isinstance(changes, list):
                raise Bad("no list of changes")
            known = set(outer["adds"]) | set(outer["keeps"])
            for change in changes:
                self.change(outer, record(change, 2, "not a choice"), known)
            pruned = any(change[0] == PRUNE for change in changes)
            rule(not outer["drops"] or pruned, "drops without a prune")
            rule(not outer["drops"] or not self.named() & set(outer["drops"]), "drops what is there")
        except (Void, Bad) as why:
            self.entries, self.name, self.retention = before
            self.passed(outer, [])
            raise Void(str(why))
        self.passed(outer, outer["drops"])

    def passed(self, outer, drops):
        self.devices[outer["device"]] = outer["seq"]
        for id_ in drops:
            self.objects.pop(id_, None)
        for id_ in outer["adds"] + outer["keeps"]:
            self.objects.setdefault(id_, outer["seq"])

    def file(self, id_):
        it = self.entries.get(id_)
        rule(it is not None and it["kind"][0] == FILE and self.live(id_), "no live file")
        return it

    def write(self, it, outer, version, content):
        it["versions"].append([it["version"], it["kind"][1][0], outer["seq"]])
        it["kind"], it["version"], it["content seq"] = [FILE, [content]], version, outer["seq"]

    def take_out(self, it, outer, operation):
        it["removed"] = [operation, it["parent"], outer["device"], outer["time"], outer["seq"]]
        it["parent"], it["place seq"] = None, outer["seq"]

    def change(self, outer, change, adds):
        number, fields = change
        seq = outer["seq"]
        shapes = {ADD: (7, 8), CONTENT: (5, 5), MOVE: (4, 5), REMOVE: (2, 2), RESTORE: (5, 5), ATTRIBUTES: (4, 4)}
        shapes.update({REPLACE: (4, 4), NAME: (2, 2), RETENTION: (2, 2), PRUNE: (3, 3)})
        if natural(number) not in shapes:
            raise Void("unknown change")
        fields = optional(fields, *shapes[number])
        if fields[0] is not None or number != ADD:
            octets(fields[0], 16)
        if number == ADD:
            operation, id_, parent, name, kind, mtime, executable, conflict = fields
            octets(id_, 16), octets(parent, 16), self.shape(name), natural(mtime), self.flag(executable), self.conflict(conflict)
            rule(id_ not in self.entries and id_ != self.safe, "id known")
            self.fits(None, parent, name, 1)
            rule(len(self.entries) < ENTRIES_MAX, "too many entries")
            mine = sum(it["by"] == outer["user"] for it in self.entries.values())
            rule(outer["role"] <= MANAGER or mine < ENTRIES_EACH_MAX, "too many entries of one")
            what, inside = choice(kind, {FOLDER: 0, FILE: 1, SYMLINK: 1})
            if what == FILE:
                self.content(outer, inside[0], adds)
            if what == SYMLINK:
                need(isinstance(inside[0], bytes) and 0 < len(inside[0]) <= 4095 and 0 not in inside[0], "target")
            self.entries[id_] = {
                "kind": kind,
                "parent": parent,
                "name": name,
                "version": (id_ if operation is None else operation) if what == FILE else None,
                "content seq": seq,
                "place seq": seq,
                "mtime": mtime,
                "executable": executable,
                "removed": None,
                "into": None,
                "versions": [],
                "by": outer["user"],
                "conflict": conflict,
            }
        elif number == CONTENT:
            operation, id_, base, content, mtime = fields
            it = self.file(octets(id_, 16))
            rule(octets(base, 16) == it["version"], "another version")
            natural(mtime)
            self.content(outer, content, adds)
            self.write(it, outer, operation, content)
            it["mtime"] = mtime
        elif number == MOVE:
            operation, id_, parent, name, conflict = fields
            octets(parent, 16), self.shape(name), self.conflict(conflict)
            rule(octets(id_, 16) in self.entries and self.live(id_), "not live")
            self.fits(id_, parent, name, self.height(id_))
            self.entries[id_].update({"parent": parent, "name": name, "place seq": seq, "conflict": conflict})
        elif number == REMOVE:
            operation, id_ = fields
            rule(octets(id_, 16) in self.entries and self.live(id_), "not live")
            self.take_out(self.entries[id_], outer, operation)
        elif number == RESTORE:
            operation, id_, parent, name, shallow = fields
            octets(parent, 16), self.shape(name), self.flag(shallow)
            rule(octets(id_, 16) in self.entries and not self.live(id_), "live")
            self.fits(id_, parent, name, 1 if shallow else self.height(id_))
            it = self.entries[id_]
            rule(not shallow or it["kind"][0] == FOLDER, "no folder")
            gone = it
            while gone["removed"] is None:
                gone = self.entries[gone["parent"]]
            gone = gone["removed"]
            if shallow:
                for child in self.of(id_):
                    self.entries[child]["removed"] = [gone[0], id_, gone[2], gone[3], gone[4]]
                    self.entries[child].update({"parent": None, "place seq": seq})
            it.update({"removed": None, "into": None, "parent": parent, "name": name, "place seq": seq})
        elif number == ATTRIBUTES:
            operation, id_, mtime, executable = fields
            rule(octets(id_, 16) in self.entries and self.live(id_), "not live")
            self.entries[id_].update({"mtime": natural(mtime), "executable": self.flag(executable)})
        elif number == REPLACE:
            operation, id_, base, source = fields
            to, it = self.file(octets(id_, 16)), self.file(octets(source, 16))
            rule(id_ != source and octets(base, 16) == to["version"], "another version")
            self.write(to, outer, operation, it["kind"][1][0])
            to.update({"mtime": it["mtime"], "executable": it["executable"]})
            self.take_out(it, outer, operation)
            it["into"] = [id_, operation]
        elif number == NAME:
            rule(outer["role"] == OWNER and isinstance(fields[1], str), "not an owner")
            self.name = fields[1]
        elif number == RETENTION:
            rule(outer["role"] == OWNER and 7 <= natural(fields[1]) <= 3650, "not an owner")
            self.retention = fields[1]
        else:
            self.prune(outer, fields[1], fields[2])

    def prune(self, outer, versions, entries):
        rule(outer["role"] <= MANAGER, "not a manager")
        days = 7 if outer["role"] == OWNER else self.retention

        def old(seq):
            age = self.age(outer, seq)
            rule(age is not None and age >= days * DAY, "not old enough")

        for id_, gone in (record(one, 2, "not versions of an entry") for one in versions):
            rule(id_ in self.entries and gone, "no versions")
            it = self.entries[id_]
            for version in gone:
                found = [one for one in it["versions"] if one[0] == version]
                rule(len(found) == 1, "no such version")
                old(found[0][2])
                it["versions"].remove(found[0])
        for id_ in entries:
            rule(id_ in self.entries and self.entries[id_]["removed"] is not None, "not removed")
            old(self.entries[id_]["removed"][4])
            below = [id_]
            for one in below:
                below += [child for child, it in self.entries.items() if it["parent"] == one]
            for one in below:
                del self.entries[one]

    @staticmethod
    def shape(name):
        need(isinstance(name, bytes) and 0 < len(name) <= 255 and not set(name) & {0, 47}, "a name")
        need(name not in (b".", b".."), "a name")

    @staticmethod
    def flag(value):
        need(value is True or value is False, "not a flag")
        return value

    @staticmethod
    def conflict(value):
        if value is not None:
            entry, version = record(value, 2, "not a conflict")
            octets(entry, 16), octets(version, 16)

    def root(self):
        """The state root."""
        buckets = {}
        for id_ in sorted(self.entries):
            it = self.entries[id_]
            fields = [id_, it["kind"], it["parent"], it["name"], it["version"], it["content seq"], it["place seq"]]
            fields += [it["mtime"], it["executable"], it["removed"], it["into"], it["versions"], it["by"]]
            fields += [] if it["conflict"] is None else [it["conflict"]]
            buckets.setdefault(int.from_bytes(id_[:2], "big") >> 4, []).append(fields)
        hashes = [sha(encode(buckets[at])) if at in buckets else bytes(32) for at in range(4096)]
        own = [self.name, self.retention, [[one, self.devices[one]] for one in sorted(self.devices)], self.marks]
        return sha(b"parsec-state-v1\0", encode(own), *hashes)

    def paths(self):
        """Everything that is live, by its path."""
        found = {}

        def walk(parent, before):
            for id_ in self.of(parent):
                path = before + b"/" + self.entries[id_]["name"]
                found[path] = self.entries[id_]
                walk(id_, path)

        walk(self.safe, b"")
        return found


def opened(safe, keys, outer):
    """The inside of a record. Raises Void."""
    said, where = outer["said"], safe.place_of(outer["epoch"])
    ad = b"parsec-record-v1 ad\0" + encode(said[:12])
    plain = sealed.opened(derived_of(keys[outer["epoch"]], b"record", where), said[12], ad, said[13])
    rule(plain is not None and len(plain) >= 4, "closed")
    length = int.from_bytes(plain[:4], "big")
    rule(len(plain) == padme(4 + length) and len(plain) >= 4 + length, "length")
    rule(not any(plain[4 + length :]), "padding")
    return plain[4 : 4 + length]


def piece(safe, keys, reference, kind, objects):
    """The plaintext of an object, as its reference names it."""
    id_, epoch, hash_ = reference
    data = objects[id_]
    need(len(data) <= OBJECT_MAX and blake3.digest(data) == hash_, "hash of an object")
    where = safe.place_of(epoch)
    once = mac(derived_of(keys[epoch], b"object", where), b"parsec-object-v1\0", id_, b"\1")
    plain = gcm.opened(once, bytes(12), b"parsec-object-v1 ad\0" + encode(where + [id_, kind]), data)
    if plain is None:
        raise Bad("closed")
    return plain


def contents(safe, keys, content, objects):
    """What a file holds."""
    size, digest, (number, (found,)) = content
    chunks = found
    if number == 1:
        chunks = []
        for at, reference in enumerate(found):
            page = decode(piece(safe, keys, reference, 1, objects), 3 + PAGE * 61)
            need(len(page) == min(PAGE, -(-size // CHUNK) - at * PAGE), "number of references")
            chunks += page
    out = []
    for at, reference in enumerate(chunks):
        _, length, padded = chunk_lengths(size, at)
        plain = bytes(padded) if reference is None else piece(safe, keys, reference, 0, objects)
        need(len(plain) == padded and not any(plain[length:]), "padding of a piece")
        out.append(plain[:length])
    whole = b"".join(out)
    need(len(whole) == size, "size")
    if digest is not None:
        need(digest == mac(derived_of(keys[0], b"digest", safe.place_of(0)), blake3.digest(whole)), "digest")
    return whole


def whole(given):
    """A safe, from its logs, and from the seed of a member and what the server keeps where they are there.

    `envelopes` are those of the organisation's log, `items` certificates and records in their one order, each as `[0 | 1, bytes]`; `rings`,
    `parts` and `objects` are by hash and id."""

    def kept(name):
        return {bytes.fromhex(key): bytes.fromhex(value) for key, value in given.get(name, {}).items()}

    organisation, id_ = given["organisation"], bytes.fromhex(given["safe"])
    members = Members(organisation, bytes.fromhex(given["root"]), [bytes.fromhex(one) for one in given["envelopes"]])
    safe = Safe(members, organisation, id_)
    # Outsides first: they need no key.
    outers, stands, why = [], 0, None
    for is_record, item in given["items"]:
        try:
            data = bytes.fromhex(item)
            if is_record:
                outers.append(safe.record(data))
            else:
                safe.certificate(data)
        except Bad as bad:
            why = str(bad)
            break
        stands += 1
    gives = {"items": stands, "why": why}
    if safe.log is not None:
        gives.update({"log": safe.log[1].hex(), "journal": safe.journal[1].hex(), "due": safe.due(len(members.kinds))})
    if why is None and "seed" in given:
        gives.update(inside_of(safe, outers, given, kept))
    return gives


def inside_of(safe, outers, given, kept):
    """What a member finds in the records and objects of a safe."""
    seed, user, last = bytes.fromhex(given["seed"]), bytes.fromhex(given["user"]), len(safe.epochs) - 1
    key, past = safe.own_key(last, kept("rings"), kept("parts"), user, seed)
    keys = {last: key}
    if past is not None:
        keys.update(safe.earlier(last, key, past))
    tree, void, other = Tree(safe.safe), [], []
    for outer in outers:
        root = tree.root()
        try:
            rule(outer["epoch"] not in safe.lost, "of a lost epoch")
            inside = opened(safe, keys, outer)
        except Void:
            tree.mark(outer)
            tree.passed(outer, [])
            void.append(outer["seq"])
            continue
        try:
            tree.fold(outer, inside)
            if decode(inside, RECORD_MAX)[1] != root:
                other.append(outer["seq"])
        except Void:
            void.append(outer["seq"])
    objects, files = kept("objects"), {}
    for path, it in tree.paths().items():
        holds = contents(safe, keys, it["kind"][1][0], objects) if it["kind"][0] == FILE else None
        files[path.hex()] = None if holds is None else sha(holds).hex()
    return {"void": void, "another tree": other, "root": tree.root().hex(), "name": tree.name, "files": files}

"""A whole enrolment by a program that knows docs/openrpc.json and nothing else of Parsec.

Founds an organisation at Alice's daemon and enrols Bob at his. The people are played as they should be: each code is read off
one side's `say` and given to the other side, and Alice approves because Bob "said" that he found hers. Prints one JSON object.

    enrolment.py --document docs/openrpc.json --alice SOCKET --bob SOCKET --server URL --token-file FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from openrpc_client import Client, Problem, WrongParameters


class Side:
    """One side of the ceremony: a connection that follows it, and one that acts."""

    def __init__(self, path: str, document: Any, ceremony: int) -> None:
        self.follow, self.act = (Client(path, document, strict=True) for _ in range(2))
        self.ceremony = ceremony
        self.follow.ceremony.watch(ceremony=ceremony)
        self.view: Any = None

    def until(self, stage: str, *, full: str | None = None) -> Any:
        """Follows to a stage; `full` names a field that must not be empty yet."""
        while self.view is None or self.view["stage"] != stage or (full and not self.view[full]):
            _, self.view = self.follow.told()
            outcome = self.view["outcome"]
            if outcome and outcome["result"] == "failed":
                raise SystemExit(f"the ceremony failed: {outcome['problem']['name']}")
        return self.view

    def choose(self, heard: str) -> None:
        offered = [choice["code"] for choice in self.until("choose_code", full="choices")["choices"]]
        assert heard in offered, f"{heard} is not among {offered}"
        self.act.ceremony.choose(ceremony=self.ceremony, code=heard, mode="picked")


def refuses(wrong: type[Exception], call: Any, **params: Any) -> bool:
    try:
        call(**params)
    except wrong:
        return True
    return False


def share_safes(alice: Client, bob: Client, follower: Client) -> None:
    """Two safes: one that Bob takes and leaves, one that he is taken out of."""
    follower.events.watch()
    left, closed = (alice.safe.create(name=name)["safe"] for name in ("Plans", "Accounts"))
    alice.file.make_folder(safe=left, path="/drawings/old", parents=True)
    alice.file.move(safe=left, to="/old", **{"from": "/drawings/old"})
    assert alice.file.stat(safe=left, path="/old")["kind"] == "folder"
    assert {entry["path"] for entry in alice.file.list(safe=left, path="/")["files"]} == {"/drawings", "/old"}
    alice.file.remove(safe=left, path="/drawings", recursive=True, wait_seconds=30)
    # Many at once wait for a word, which names exactly what it is about.
    for number in range(30):
        alice.file.make_folder(safe=closed, path=f"/many/{number}", parents=True)
    alice.safe.sync(safe=closed, wait_seconds=30)
    removed = alice.file.remove(safe=closed, path="/many", recursive=True, wait_seconds=30)
    assert removed["problem"]["name"] == "removal_waits" and not removed["shared"], removed
    held = alice.safe.status(safe=closed)["safes"][0]["removals"]
    told = alice.safe.confirm(safe=closed, decision="discard", what=held["what"])
    assert (told["count"], told["entries"]) == (1, 31), told
    # What was removed comes back.
    alice.file.make_folder(safe=closed, path="/gone", parents=False)
    alice.file.remove(safe=closed, path="/gone", recursive=False, wait_seconds=30)
    gone = alice.trash.list(safe=closed)["removed"]
    assert [entry["file"]["path"] for entry in gone] == ["/gone"], gone
    back = alice.trash.restore(safe=closed, entry=gone[0]["file"]["entry"], wait_seconds=30)
    assert back["shared"] and back["path"] == "/gone", back
    used = alice.safe.usage(safe=closed)["safes"][0]
    assert alice.safe.room(safe=closed, bytes=1000)["room"]["free"] is None
    parts = [used[part]["bytes"] for part in ("live", "history", "trash", "snapshots", "sent", "unnamed")]
    assert used["bytes"] == sum(parts) + used["journal_bytes"] + used["log_bytes"] + used["keys_bytes"], used
    # And everything is as it was before the folder was made.
    done = alice.safe.log(safe=closed)["records"]
    before = next(it["seq"] for it in reversed(done) if it["added"]) - 1
    looked = alice.file.restore_tree(safe=closed, path="/", record=done[-1]["seq"], exact=True, dry_run=True)
    assert looked["change"] is None and looked["record"] == 1 and before >= 0, looked
    whole = alice.file.restore_tree(safe=closed, path="/", record=done[0]["seq"], wait_seconds=30)
    assert whole["lost"] == 0 and whole["change"]["saved"], whole
    alice.safe.retention(safe=closed, days=30)
    assert alice.safe.sync(safe=closed, wait_seconds=30)["done"]
    kept = alice.safe.prune(safe=closed, dry_run=True)
    assert kept["retention_days"] == 30 and kept["entries"] == 0, kept
    assert refuses(Problem, alice.safe.prune, safe=closed, entries=[closed])
    assert refuses(WrongParameters, alice.safe.retention, safe=closed)
    # What is here, and stays here, is this device's own business.
    pin = alice.file.pin(safe=closed, path="/gone")
    assert pin["path"] == "/gone" and pin["files"] == 0, pin
    assert [it["entry"] for it in alice.file.pins(safe=closed)["pins"]] == [pin["entry"]]
    assert alice.file.unpin(safe=closed, path="/gone")["entry"] == pin["entry"]
    assert alice.cache.set(limit_bytes=1 << 20)["limit_by"] == "device"
    assert alice.cache.show()["limit_bytes"] == 1 << 20
    assert alice.cache.clear()["limit_by"] == "device"
    assert alice.cache.set()["limit_by"] == "auto"
    assert alice.mount.list()["mounts"] == []
    mark = alice.mount.mark(safe=closed, folder="/nowhere/at all", read_only=True)
    assert mark["safe"] == closed and alice.mount.list()["marked"] == [mark]
    alice.mount.unmark(folder=mark["folder"])
    assert alice.mount.list()["marked"] == []
    assert refuses(Problem, alice.mount.unmark, folder=mark["folder"])
    assert alice.fm.status(paths=["/home"]) == {"items": [None], "folders": [], "complete": True}
    assert alice.fm.menu(paths=["/home"])["items"] == []
    alice.safe.rename(safe=left, name="Plans and more")
    for safe in (left, closed):
        assert alice.safe.share(safe=safe, member="bob@acme.example", role="contributor")["safe"]["members"] == 2
    offered = set()
    while offered < {left, closed}:
        _, item = follower.told()
        event = item.get("event", {})
        if event.get("type") == "safe_offered":
            offered.add(event["safe"]["safe"])
    bob.safe.accept(safe=left)
    assert bob.safe.sync(safe=left, wait_seconds=30)["done"]
    assert bob.safe.show(safe=left)["safe"]["name"] == "Plans and more"
    assert len(bob.safe.members(safe=left)["members"]) == 2
    bob.safe.status()
    assert bob.file.conflicts(safe=left)["conflicts"] == []
    bob.safe.leave(safe=left)
    alice.safe.unshare(safe=closed, member="bob@acme.example")
    assert left in {safe["safe"] for safe in alice.safe.list()["safes"]}


def share_for_later(alice: Client, bob: Client, follower: Client) -> str:
    """A safe of Bob's in which Alice is a manager: nobody owns it once he is gone."""
    follower.events.watch()
    safe = bob.safe.create(name="Later")["safe"]
    bob.safe.share(safe=safe, member="alice@acme.example", role="manager")
    event: Any = {}
    while event.get("type") != "safe_offered" or event["safe"]["safe"] != safe:
        event = follower.told()[1].get("event", {})
    alice.safe.accept(safe=safe)
    assert alice.safe.sync(safe=safe, wait_seconds=30)["done"]
    assert refuses(Problem, alice.safe.takeover, safe=safe)
    return safe


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("document", "alice", "bob", "server", "token-file"):
        parser.add_argument(f"--{name}", required=name != "document")
    options = parser.parse_args()
    # Without a file the daemon is asked for the document.
    document = json.loads(Path(options.document).read_text()) if options.document else None

    alice, bob = (Client(path, document, strict=True) for path in (options.alice, options.bob))
    founded = alice.org.bootstrap(
        server=options.server, organisation="acme", token=Path(options.token_file).read_text().strip(),
        email="alice@acme.example", name="Alice Hollybrook", device_label="desktop", password="alice walks seven dogs",
    )
    # What the document forbids is never sent; what only the daemon can know, it refuses by name.
    assert refuses(WrongParameters, alice.invite.user, email="not an address")
    assert refuses(WrongParameters, alice.invite.user, email="bob@acme.example", dayz=3)
    assert refuses(Problem, bob.invite.user, email="bob@acme.example")

    invited = alice.invite.user(email="bob@acme.example", days=1)
    claimer = Side(options.bob, document, bob.claim.start(link=invited["link"])["id"])
    greeter = Side(options.alice, document, alice.greet.start(token=invited["token"])["id"])

    greeter.choose(claimer.until("say_code", full="say")["say"]["code"])
    claimer.choose(greeter.until("say_code", full="say")["say"]["code"])
    claimer.until("identify")
    claimer.act.ceremony.identify(ceremony=claimer.ceremony, name="Bob Quillfeather", device_label="laptop")
    shown = greeter.until("approve", full="claimer")["claimer"]
    assert shown["name"] == "Bob Quillfeather", shown
    greeter.act.ceremony.approve(ceremony=greeter.ceremony, claimer_confirmed=True, profile="standard")
    claimer.until("set_password")
    claimer.act.ceremony.finish(ceremony=claimer.ceremony, password="bob counts grey herons")
    ends = [side.until("done", full="outcome")["outcome"] for side in (greeter, claimer)]

    verified = [client.trust.verify() for client in (alice, bob)]
    assert verified[0]["head"] == verified[1]["head"] and verified[0]["users"] == 2, verified
    assert {end["root_fingerprint"] for end in ends} == {founded["root_fingerprint"]}
    # The greeter's daemon has the receipt of it.
    receipts = alice.receipt.list()["receipts"]
    assert [it["device"] for it in receipts] == [ends[1]["device"]], receipts
    assert alice.receipt.export(device=ends[1]["device"])["length"] > 0
    members = {user["email"]: user["name"] for user in bob.user.list()["users"]}
    share_safes(alice, bob, Client(options.bob, document, strict=True))
    later = share_for_later(alice, bob, Client(options.alice, document, strict=True))
    # What was given is changed and taken back; each answer shows the member as they are then.
    user, device = ends[1]["user"], ends[1]["device"]
    assert alice.user.profile(user=user, profile="outsider")["profile"] == "outsider"
    assert [it["revoked"] for it in alice.device.revoke(device=device)["devices"]] == [True]
    assert alice.user.revoke(user=user)["revoked"]
    assert alice.safe.takeover(safe=later)["member"]["role"] == "owner"
    # Nobody has a share, and no kit is split among one.
    assert refuses(Problem, alice.recovery.share, threshold=2, members=[user, user])
    assert refuses(Problem, alice.recovery.give, user=user)
    assert refuses(Problem, bob.recovery.combine, device_label="spare", password="alice walks ten geese")
    # A kit brings its user back on any machine.
    kit = alice.recovery.create(label="Bank")
    assert [it["device"] for it in alice.recovery.list()["kits"]] == [kit["kit"]["device"]]
    assert alice.recovery.drill(words=kit["words"])["kit"]["drilled"]
    assert refuses(Problem, alice.recovery.drill, words=kit["words"] + " zoo")
    back = bob.recovery.use(
        server=options.server, organisation="acme", words=kit["words"], device_label="spare", password="alice walks ten geese",
    )
    assert back["device"]["registration"] == "registered", back
    assert back["root_fingerprint"] == founded["root_fingerprint"]
    print(json.dumps({"members": members, "device": ends[1]["device"]}))


if __name__ == "__main__":
    main()

"""Calls what an enrolment doesn't, each method once, by a program that knows docs/openrpc.json and nothing else of Parsec.

    tour.py --document docs/openrpc.json --daemon SOCKET --server URL --token-file FILE
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

from openrpc_client import Client, Problem


def problem(call: Any, **params: Any) -> str:
    """The name of the error that a call must end with."""
    try:
        call(**params)
    except Problem as refused:
        return refused.name
    raise AssertionError("it was answered")


class Follower:
    """Follows events; knows where it stands."""

    def __init__(self, client: Client, after: Any = None) -> None:
        self.client, self.position = client, after
        self.subscription = client.events.watch(**({"after": after} if after else {}))

    def until(self, type: str) -> Any:
        """Reads on to the next event of a type; `snapshot` and `gap` are kinds of items of their own."""
        while True:
            name, item = self.client.told()
            assert name == "events.item", name
            if item["kind"] == "event":
                assert item["id"] == self.position["id"] + 1, (item, self.position)
            self.position = {"stream": item["stream"], "id": item.get("id", item.get("to"))}
            if type in (item["kind"], item.get("event", {}).get("type")):
                return item


def main() -> None:
    parser = argparse.ArgumentParser()
    for name in ("document", "daemon", "server", "token-file"):
        parser.add_argument(f"--{name}", required=True)
    options = parser.parse_args()
    document = json.loads(Path(options.document).read_text())
    client, follower = (Client(options.daemon, document, strict=True) for _ in range(2))

    hello = client.rpc.hello(client="tour/1", api=document["info"]["version"])
    served = {method["name"]: method["permission"] for method in hello["methods"]}
    for method in document["methods"]:
        if method["name"] in served:
            assert served[method["name"]] == method["x-permission"], method["name"]
    ends = {method["x-subscription"]["end"] for method in document["methods"] if "x-subscription" in method}
    assert set(client.methods) - ends == set(served) - ends, set(client.methods) ^ set(served)
    assert problem(client.rpc.hello, api="3.0") == "api_mismatch"
    assert client.rpc.discover() == document

    events = Follower(follower)
    events.until("snapshot")
    founded = client.org.bootstrap(
        server=options.server, organisation="tour", token=Path(options.token_file).read_text().strip(),
        email="alice@tour.example", name="Alice", device_label="desktop", password="alice walks seven dogs",
    )
    device = founded["device"]["device"]
    assert events.until("device_added")["event"]["device"]["device"] == device
    assert client.status.show()["devices"] == client.device.list()["devices"]
    client.doctor.run()

    tablet = client.invite.device(days=1)
    client.invite.cancel(token=tablet["token"])
    invited = client.invite.user(email="bob@tour.example", days=1)
    events.until("invitation_cancelled")
    assert len(client.invite.list()["invitations"]) == 2
    greeting = client.greet.start(token=invited["token"], transport="server")["id"]
    events.until("ceremony_started")
    transport = events.until("transport_changed")["event"]
    assert (transport["ceremony"], transport["transport"], transport["reason"]) == (greeting, "server", "asked")
    assert client.ceremony.show(ceremony=greeting)["transport"] == "server"
    assert [view["id"] for view in client.ceremony.list()["ceremonies"]] == [greeting]
    watching = client.ceremony.watch(ceremony=greeting)
    assert client.told()[1]["id"] == greeting
    assert client.call("ceremony.unwatch", [watching])
    client.ceremony.cancel(ceremony=greeting)
    assert events.until("ceremony_ended")["event"]["ceremony"]["problem"] == "cancelled"

    assert client.net.ping()["servers"][0]["ping"]["reached"]
    tried = client.net.ping(link=invited["link"])
    assert tried["servers"][0]["server"] == options.server and not tried["p2p"]["reached"]
    assert client.net.status()["servers"][0]["reachable"]
    assert client.net.peers()["peers"] == []

    # Nobody revokes or changes themself, and nobody here is another.
    myself = client.user.list()["users"][0]["user"]
    for asked in (
        (client.user.revoke, {"user": myself}),
        (client.user.profile, {"user": myself, "profile": "standard"}),
        (client.device.revoke, {"device": device}),
    ):
        assert problem(asked[0], **asked[1]) in ("not_allowed", "invalid_request"), asked[1]
    assert client.user.show(user="alice@tour.example")["chain"] == client.trust.show()["chain"]
    client.trust.verify()
    exported = client.trust.export()
    assert exported["head"] and len(exported["certificates"]) == client.trust.log()["count"] == 2
    parts = {key: exported[key] for key in ("organisation", "root", "certificates", "head")}
    assert client.call("trust.import", {"from": 0, **parts})["added"] == 0
    repaired = client.trust.repair()
    assert (repaired["added"], repaired["count"], repaired["alarms"]) == (0, 2, [])
    assert client.receipt.list()["receipts"] == []
    assert problem(client.receipt.export, device=device) == "invalid_request"
    assert problem(client.trust.fork, alarm=1) == "invalid_request"
    # Nothing was amiss, so there is nothing to acknowledge.
    assert problem(client.trust.acknowledge, alarm=1) == "invalid_request"
    # Another key for oneself, in the log as everybody sees it.
    rekeyed = client.user.rekey()
    assert rekeyed["left_out"] == [] and not rekeyed["member"]["suspended"], rekeyed
    assert client.trust.log()["count"] == 3

    if "token.create" in client.methods:
        created = client.token.create(name="tour", methods=["status.show"], days=1)["token"]
        assert client.token.list()["tokens"][0]["id"] == created["id"]
        client.token.uses()
        client.token.revoke(id=created["id"])
        events.until("token_revoked")

    client.device.password(password="alice walks seven dogs", new_password="alice walks eight dogs")
    assert client.device.lock()["state"] == "locked"
    assert problem(client.device.unlock, password="alice walks seven dogs") == "wrong_password"
    events.until("unlock_refused")
    assert follower.call("events.unwatch", [events.subscription])
    # Another connection goes on where the first one stopped: nothing is missing, and there is no snapshot.
    client.device.unlock(password="alice walks eight dogs")
    again = Follower(Client(options.daemon, document, strict=True), events.position)
    assert again.until("device_changed")["event"]["device"]["state"] == "unlocked"
    assert client.device.restore(device=device)["registration"] == "registered"
    assert client.org.server(server=options.server)["device"]["server"] == options.server
    client.device.forget(device=device)
    assert again.until("device_forgotten")["event"]["device"] == device
    assert client.device.list()["devices"] == []
    print(json.dumps({"events": again.position["id"]}))


if __name__ == "__main__":
    main()

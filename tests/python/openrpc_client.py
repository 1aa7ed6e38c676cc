"""A client made from docs/openrpc.json alone: what the document doesn't say, this program doesn't know.

Standard library only. Methods are attributes: `client.invite.user(email="bob@example.org")` calls `invite.user`. Parameters
are checked against the document before anything is sent. Results are not: a newer daemon may say more than the document knows.
With `strict`, for tests, they are.
"""

from __future__ import annotations

import json
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

Json = Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,), "array": (list,), "string": (str,), "integer": (int,), "number": (int, float),
    "boolean": (bool,), "null": (type(None),),
}


class WrongParameters(Exception):
    """The document doesn't allow this call."""


class Problem(Exception):
    """The daemon's answer was an error. Programs go by `name`."""

    def __init__(self, error: Json) -> None:
        super().__init__(error["message"])
        data = error.get("data") or {}
        self.name: str = data.get("name", "other")
        self.hint: str = data.get("hint", "")
        self.retryable: bool = data.get("retryable", False)
        self.exit_code: int = data.get("exit_code", 70)


class Checker:
    """The part of JSON Schema that the document uses. An unknown keyword is an error, not a thing to skip."""

    PASSED_OVER = {"description", "title", "default", "format", "writeOnly", "$schema", "x-secret"}

    def __init__(self, document: Json) -> None:
        self.document = document

    def resolve(self, reference: str) -> Json:
        found = self.document
        for part in reference.removeprefix("#/").split("/"):
            found = found[part]
        return found

    def faults(self, schema: Json, value: Json, where: str = "$") -> Iterator[str]:
        """Everything that is wrong with a value."""
        if isinstance(schema, bool):
            if not schema:
                yield f"{where}: nothing is allowed here"
            return
        for keyword, rule in schema.items():
            if keyword in self.PASSED_OVER:
                continue
            yield from getattr(self, "_" + keyword.strip("$"))(rule, value, where, schema)

    def fits(self, schema: Json, value: Json) -> bool:
        return next(self.faults(schema, value), None) is None

    def _ref(self, rule: str, value: Json, where: str, _: Json) -> Iterator[str]:
        yield from self.faults(self.resolve(rule), value, where)

    def _type(self, rule: str | list[str], value: Json, where: str, _: Json) -> Iterator[str]:
        names = [rule] if isinstance(rule, str) else rule
        fits = any(isinstance(value, TYPES[name]) for name in names)
        # To Python, True is a number.
        if not fits or (isinstance(value, bool) and "boolean" not in names):
            yield f"{where}: not {' or '.join(names)}"

    def _enum(self, rule: list[Json], value: Json, where: str, _: Json) -> Iterator[str]:
        if value not in rule:
            yield f"{where}: not one of {rule}"

    def _const(self, rule: Json, value: Json, where: str, _: Json) -> Iterator[str]:
        if value != rule:
            yield f"{where}: not {rule!r}"

    def _pattern(self, rule: str, value: Json, where: str, _: Json) -> Iterator[str]:
        if isinstance(value, str) and not re.search(rule, value):
            yield f"{where}: does not look like {rule}"

    def _minLength(self, rule: int, value: Json, where: str, _: Json) -> Iterator[str]:
        if isinstance(value, str) and len(value) < rule:
            yield f"{where}: shorter than {rule}"

    def _maxLength(self, rule: int, value: Json, where: str, _: Json) -> Iterator[str]:
        if isinstance(value, str) and len(value) > rule:
            yield f"{where}: longer than {rule}"

    def _minimum(self, rule: int, value: Json, where: str, _: Json) -> Iterator[str]:
        if isinstance(value, int) and value < rule:
            yield f"{where}: less than {rule}"

    def _maximum(self, rule: int, value: Json, where: str, _: Json) -> Iterator[str]:
        if isinstance(value, int) and value > rule:
            yield f"{where}: more than {rule}"

    def _items(self, rule: Json, value: Json, where: str, _: Json) -> Iterator[str]:
        for index, item in enumerate(value if isinstance(value, list) else []):
            yield from self.faults(rule, item, f"{where}[{index}]")

    def _required(self, rule: list[str], value: Json, where: str, _: Json) -> Iterator[str]:
        yield from (f"{where}: {name} is missing" for name in rule if isinstance(value, dict) and name not in value)

    def _properties(self, rule: Json, value: Json, where: str, _: Json) -> Iterator[str]:
        for name, field in (value if isinstance(value, dict) else {}).items():
            yield from self.faults(rule.get(name, True), field, f"{where}.{name}")

    def _additionalProperties(self, rule: Json, value: Json, where: str, schema: Json) -> Iterator[str]:
        for name in set(value if isinstance(value, dict) else {}) - set(schema.get("properties", {})):
            yield from self.faults(rule, value[name], f"{where}.{name}")

    def _allOf(self, rule: list[Json], value: Json, where: str, _: Json) -> Iterator[str]:
        for schema in rule:
            yield from self.faults(schema, value, where)

    def _anyOf(self, rule: list[Json], value: Json, where: str, _: Json) -> Iterator[str]:
        if not any(self.fits(schema, value) for schema in rule):
            yield f"{where}: fits none of {len(rule)}"

    def _oneOf(self, rule: list[Json], value: Json, where: str, _: Json) -> Iterator[str]:
        if sum(self.fits(schema, value) for schema in rule) != 1:
            yield f"{where}: fits not exactly one of {len(rule)}"


class Noun:
    """`client.invite`: the methods that begin with `invite.`."""

    def __init__(self, client: Client, noun: str) -> None:
        self._client, self._noun = client, noun

    def __getattr__(self, verb: str) -> Any:
        name = f"{self._noun}.{verb}"
        if name not in self._client.methods:
            raise AttributeError(f"the document has no method {name}")
        return lambda *position, **named: self._client.call(name, list(position) or named)


class Client:
    """A connection to parsecd."""

    def __init__(
        self, path: str | Path, document: Json | None = None, *, strict: bool = False, seconds: float = 120
    ) -> None:
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._socket.settimeout(seconds)
        self._socket.connect(str(path))
        self._lines = self._socket.makefile("r", encoding="utf-8", newline="\n")
        self._strict = strict
        self._next = 0
        self._told: list[Json] = []
        self.methods: dict[str, Json] = {}
        if document is None:
            document = self._ask("rpc.discover", {})
        self._checker = Checker(document)
        self.methods = {method["name"]: method for method in document["methods"]}
        self.notifications = {told["name"]: told for told in document["x-notifications"]}

    def __getattr__(self, noun: str) -> Noun:
        return Noun(self, noun)

    def call(self, name: str, params: dict[str, Json] | list[Json]) -> Json:
        """Checks, asks, waits for the answer."""
        method = self.methods[name]
        faults = list(self._wrong(method, params))
        if faults:
            raise WrongParameters(f"{name}: {'; '.join(faults)}")
        result = self._ask(name, params)
        self._told_truly(name, method["result"]["schema"], result)
        return result

    def _told_truly(self, name: str, schema: Json, value: Json) -> None:
        if self._strict:
            faults = list(self._checker.faults(schema, value))
            assert not faults, f"{name} says what its document doesn't: {faults}"

    def _wrong(self, method: Json, params: dict[str, Json] | list[Json]) -> Iterator[str]:
        descriptors = {param["name"]: param for param in method["params"]}
        if method["paramStructure"] == "by-position":
            if isinstance(params, dict) or len(params) != len(descriptors):
                yield f"takes {len(descriptors)} by position"
                return
            params = dict(zip(descriptors, params))
        if not isinstance(params, dict):
            yield "takes its parameters by name"
            return
        yield from (f"there is no parameter {name}" for name in params if name not in descriptors)
        for name, param in descriptors.items():
            if name in params:
                yield from self._checker.faults(param["schema"], params[name], name)
            elif param["required"]:
                yield f"{name} is missing"

    def _ask(self, name: str, params: Json) -> Json:
        self._next += 1
        request = {"jsonrpc": "2.0", "id": self._next, "method": name, "params": params}
        self._socket.sendall(json.dumps(request).encode() + b"\n")
        while True:
            line = self._line()
            if line.get("id") != self._next:
                self._told.append(line)
            elif "error" in line:
                raise Problem(line["error"])
            else:
                return line["result"]

    def _line(self) -> Json:
        line = self._lines.readline()
        if not line.endswith("\n"):
            raise ConnectionError("the daemon closed the connection")
        return json.loads(line)

    def told(self) -> tuple[str, Json]:
        """Waits for the next notification: its name and what it carries."""
        line = self._told.pop(0) if self._told else self._line()
        name, params = line["method"], line["params"]
        for param in self.notifications[name]["params"]:
            self._told_truly(name, param["schema"], params[param["name"]])
        return name, params["result"]

    def close(self) -> None:
        self._lines.close()
        self._socket.close()

"""Stand-ins of DNS services with an HTTP API, on loopback: Cloudflare, DuckDNS (with the name server that shows what was set), PowerDNS.

They keep what they are told and say their errors as the services do. Sources: developers.cloudflare.com/api, duckdns.org/spec.jsp,
doc.powerdns.com/authoritative/http-api.
"""

from __future__ import annotations

import itertools
import socket
import threading
from types import TracebackType
from typing import TYPE_CHECKING, Any

from .exchange import Request, address, sends
from .faults import Reply
from .forge import Forge

if TYPE_CHECKING:
    from typing_extensions import Self


class FakeCloudflare(Forge):
    """One zone. `records` are by id; `tokens` may change them."""

    def __init__(self, zone: str = "example.org") -> None:
        super().__init__(base="/client/v4")
        self.zone, self.tokens = zone, {"cf-stand-in"}
        self.records: dict[str, dict[str, Any]] = {}
        self._ids = itertools.count(1)

    def add(self, kind: str, name: str, content: str) -> None:
        """Put a record there as a person would."""
        id_ = f"r{next(self._ids)}"
        self.records[id_] = {"id": id_, "type": kind, "name": name, "content": content, "ttl": 60}

    def answer(self, request: Request) -> Reply:
        """What the service says."""
        if request.header("Authorization").removeprefix("Bearer ") not in self.tokens:
            return _refusal(403, 9109, "Invalid access token")
        if request.path == "/zones":
            known = [{"id": "z1", "name": self.zone}] if request.query.get("name") in (None, self.zone) else []
            return _result(known)
        if (args := address("/zones/{zone}/dns_records", request.raw)) is not None and args["zone"] == "z1":
            if request.method == "GET":
                wanted = {key: request.query[key] for key in ("type", "name") if key in request.query}
                return _result([one for one in self.records.values() if all(one[key] == value for key, value in wanted.items())])
            if request.method == "POST":
                return self._put(f"r{next(self._ids)}", request.json())
        if (args := address("/zones/{zone}/dns_records/{id}", request.raw)) is not None and args["id"] in self.records:
            if request.method == "PUT":
                return self._put(args["id"], request.json())
            if request.method == "DELETE":
                del self.records[args["id"]]
                return _result({"id": args["id"]})
        return _refusal(404, 7003, "Could not route to that path, perhaps your object identifier is invalid?")

    def _put(self, id_: str, body: dict[str, Any]) -> Reply:
        if not str(body["name"]).endswith(self.zone):
            return _refusal(400, 9000, "DNS name is invalid.")
        beside = [one["type"] for other, one in self.records.items() if other != id_ and one["name"] == body["name"]]
        if beside and "CNAME" in (*beside, body["type"]):
            return _refusal(400, 81053, "An A, AAAA, or CNAME record with that host already exists.")
        self.records[id_] = {"id": id_, **body}
        return _result(self.records[id_])


class FakeDuckDns(Forge):
    """One account. `texts` are what its names say; a name server on UDP shows them, at `server`."""

    def __init__(self) -> None:
        super().__init__()
        self.token = "duck-stand-in"  # noqa: S105 - of a stand-in
        self.texts: dict[str, str] = {"qcity": ""}
        self._socket = socket.socket(type=socket.SOCK_DGRAM)
        self._answering = threading.Thread(target=self._show, daemon=True)

    def __enter__(self) -> Self:
        super().__enter__()
        self._socket.bind(("127.0.0.1", 0))
        self._answering.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        with socket.socket(type=socket.SOCK_DGRAM) as last:
            last.sendto(b"", self._socket.getsockname())  # nothing to answer: the end
        self._answering.join(5)
        self._socket.close()
        super().__exit__(kind, error, trace)

    @property
    def server(self) -> str:
        """The name server, as options name it."""
        return f"127.0.0.1:{self._socket.getsockname()[1]}"

    def answer(self, request: Request) -> Reply:
        """OK, or KO without a reason, as the service does."""
        name = request.query.get("domains", "")
        good = request.path == "/update" and request.query.get("token") == self.token and name in self.texts
        if good and "txt" in request.query:
            self.texts[name] = request.query["txt"]
        return Reply(body=b"OK\n\n\nUPDATED" if good else b"KO", headers={"Content-Type": "text/plain"})

    def _show(self) -> None:
        import dns.flags
        import dns.message
        import dns.rrset

        while data := (got := self._socket.recvfrom(4096))[0]:
            query = dns.message.from_wire(data)
            reply = dns.message.make_response(query)
            reply.flags |= dns.flags.AA
            asked = query.question[0]
            text = self.texts.get(asked.name.to_text().removesuffix(".duckdns.org."), "")
            if text and asked.rdtype.name == "TXT":
                reply.answer.append(dns.rrset.from_text(asked.name, 60, "IN", "TXT", f'"{text}"'))
            self._socket.sendto(reply.to_wire(), got[1])


class FakePowerDns(Forge):
    """One zone behind PowerDNS's API, which lexicon knows. `sets` are by name and kind."""

    def __init__(self, zone: str = "example.org") -> None:
        super().__init__()
        self.zone, self.key = zone, "pdns-stand-in"
        self.sets: dict[tuple[str, str], dict[str, Any]] = {}

    def answer(self, request: Request) -> Reply:
        """What the server says."""
        if request.header("X-API-Key") != self.key:
            return Reply(status=401, body=b"Unauthorized")
        if request.path != f"/api/v1/servers/localhost/zones/{self.zone}.":
            return sends({"error": "Not Found"}, 404)
        if request.method == "GET":
            return sends({"id": f"{self.zone}.", "name": f"{self.zone}.", "kind": "Native", "rrsets": list(self.sets.values())})
        for one in request.json()["rrsets"]:
            if not one["name"].endswith(f"{self.zone}."):
                return sends({"error": f"RRset {one['name']} IN {one['type']}: Name is out of zone"}, 422)
            if one["changetype"] == "DELETE" or not one["records"]:
                self.sets.pop((one["name"], one["type"]), None)
            else:
                self.sets[one["name"], one["type"]] = {key: value for key, value in one.items() if key != "changetype"}
        return Reply(status=204)


def _result(value: Any) -> Reply:
    return sends({"success": True, "errors": [], "messages": [], "result": value})


def _refusal(status: int, code: int, message: str) -> Reply:
    return sends({"success": False, "errors": [{"code": code, "message": message}], "messages": [], "result": None}, status)

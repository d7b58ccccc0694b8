"""Cuts GitHub's own OpenAPI document down to the addresses that the stand-in answers, and adds the authentication that the document leaves out.

`npm pack @octokit/openapi@<version>`, unpack it, then `python -m qcity_nb.testing.openapi.prune package/generated/api.github.com.json`.
Words for people (descriptions, examples) are left out. Constraints stay but for two that GitHub itself breaks: a nullable enum may be null though
null is not among its values, and of `oneOf` several may fit.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

TARGET = Path(__file__).with_name("github.json")
METHODS = ("get", "post", "put", "patch", "delete")
PROSE = frozenset({"description", "summary", "example", "examples", "externalDocs", "tags", "title", "x-octokit", "x-github", "deprecated"})


def wanted() -> dict[str, set[str]]:
    """The document's addresses that the stand-in has, with their methods."""
    from ..github.hub import ROUTES

    found: dict[str, set[str]] = {}
    for route in ROUTES:
        if not route.open:
            found.setdefault(route.pattern, set()).add(route.method.lower())
    return found


def references(node: Any) -> Iterator[str]:
    """Every `$ref` below a node."""
    if isinstance(node, dict):
        if isinstance(node.get("$ref"), str):
            yield node["$ref"]
        for value in node.values():
            yield from references(value)
    elif isinstance(node, list):
        for value in node:
            yield from references(value)


def plain(node: Any, *, names: bool = False) -> Any:
    """A node without prose. Below `properties` and the like (`names`) the keys are names, not keywords: a property may be called `title`."""
    if isinstance(node, list):
        return [plain(value) for value in node]
    if not isinstance(node, dict):
        return node
    node = node if names else _eased(node)
    kept = {key: value for key, value in node.items() if names or key not in PROSE or (key == "description" and "content" in node)}
    return {key: plain(value, names=not names and key in {"properties", "schemas", "responses", "mapping"}) for key, value in kept.items()}


def _eased(node: dict[str, Any]) -> dict[str, Any]:
    """A schema as it is meant."""
    if node.get("nullable") and "enum" in node and None not in node["enum"]:
        node = {**node, "enum": [*node["enum"], None]}
    if isinstance(node.get("oneOf"), list):
        node = {**{key: value for key, value in node.items() if key not in {"oneOf", "discriminator"}}, "anyOf": node["oneOf"]}
    return node


def prune(document: dict[str, Any], addresses: dict[str, set[str]]) -> dict[str, Any]:
    """The smaller document.

    Raises:
        KeyError: the document does not have one of the addresses.
    """
    paths: dict[str, Any] = {}
    for address, methods in addresses.items():
        item = document["paths"][address]
        paths[address] = {key: plain(value) for key, value in item.items() if key not in METHODS or key in methods}
        for method in methods:
            paths[address][method]["responses"] = _responses(item[method]["responses"])
    components: dict[str, dict[str, Any]] = {"securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}}}
    todo = list(references(paths))
    while todo:
        _, _, family, name = todo.pop().split("/")
        if name not in components.setdefault(family, {}):
            raw = document["components"][family][name]
            components[family][name] = _responses({name: raw})[name] if family == "responses" else plain(raw)
            todo += references(components[family][name])
    info = {"title": document["info"]["title"], "version": document["info"]["version"]}
    server = [{"url": "https://api.github.com"}]
    return {"openapi": document["openapi"], "info": info, "servers": server, "security": [{"bearer": []}], "paths": paths, "components": components}


def _responses(responses: dict[str, Any]) -> dict[str, Any]:
    """Replies need a description to be a valid document: an empty one does."""
    return {code: {**plain(reply), **({} if "$ref" in reply else {"description": ""})} for code, reply in responses.items()}


def main(source: str) -> None:
    """Write the pruned document beside this file."""
    pruned = prune(json.loads(Path(source).read_text(encoding="utf-8")), wanted())
    TARGET.write_text(json.dumps(pruned, separators=(",", ":"), sort_keys=True) + "\n", encoding="utf-8")
    sys.stdout.write(f"{TARGET.name}: {len(pruned['paths'])} addresses, {TARGET.stat().st_size:,} bytes\n")


if __name__ == "__main__":
    main(sys.argv[1])

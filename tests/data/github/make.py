"""Makes `recorded.json` and `documented.json` again from GitHub's own packages.

    npm pack @octokit/fixtures@23.1.2 @octokit/openapi@23.0.2    and unpack each into a folder of its own
    python tests/data/github/make.py FIXTURES OPENAPI
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SCENARIOS = ("errors", "paginate-issues", "rename-repository")
LONG = {"body", "user", "repository", "owner", "organization", "reactions", "performed_via_github_app"}
"""Parts of recorded replies that nothing here reads and that fill pages."""
OPERATIONS = (
    "actions/list-self-hosted-runners-for-repo",
    "actions/get-self-hosted-runner-for-repo",
    "actions/list-runner-applications-for-repo",
    "actions/create-registration-token-for-repo",
    "actions/generate-runner-jitconfig-for-repo",
    "actions/set-custom-labels-for-self-hosted-runner-for-repo",
    "actions/list-workflow-runs-for-repo",
    "actions/list-jobs-for-workflow-run",
    "actions/list-self-hosted-runner-groups-for-org",
    "repos/list-for-authenticated-user",
)


def short(node: Any) -> Any:
    """A recorded reply without its long parts."""
    if isinstance(node, dict):
        return {key: short(value) for key, value in node.items() if key not in LONG and not (key.endswith("_url") and "{" in str(value))}
    return [short(one) for one in node] if isinstance(node, list) else node


def recorded(fixtures: Path) -> list[dict[str, Any]]:
    """The exchanges: what was asked, and the answer with its headers."""
    found = []
    for name in SCENARIOS:
        for one in json.loads((fixtures / "scenarios/api.github.com" / name / "normalized-fixture.json").read_text()):
            keys = ("method", "path", "status", "headers")
            found.append({"scenario": name, **{key: one[key] for key in keys}, "response": short(one["response"])})
    return found


def documented(openapi: Path) -> dict[str, Any]:
    """For each operation the reply that GitHub's document gives as its example."""
    document = json.loads((openapi / "generated/api.github.com.json").read_text())
    examples = document["components"]["examples"]
    found = {}
    for path, methods in document["paths"].items():
        for operation in methods.values():
            if operation.get("operationId") in OPERATIONS:
                for status, reply in operation["responses"].items():
                    whole = document["components"]["responses"][reply["$ref"].rpartition("/")[2]] if "$ref" in reply else reply
                    given = whole.get("content", {}).get("application/json", {}).get("examples", {})
                    if status.startswith("2") and given:
                        example = next(iter(given.values()))
                        value = examples[example["$ref"].rpartition("/")[2]] if "$ref" in example else example
                        found[operation["operationId"]] = {"path": path, "status": int(status), "response": short(value["value"])}
    return found


if __name__ == "__main__":
    for file, made in (("recorded.json", recorded(Path(sys.argv[1]))), ("documented.json", documented(Path(sys.argv[2])))):
        (HERE / file).write_text(json.dumps(made, indent=1) + "\n")

"""Cutting one leg of one job out of a workflow, so that one invocation of act runs just that.

The jobs it needs become stubs that yield their recorded results and outputs; every other job goes; an observer job after it prints what act
itself makes of its result and outputs. It is done on YAML nodes, so that scalars, quotes and anchors survive.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass

import yaml

from ..model.wire import Needed
from ..model.work import Outcome
from . import nodes

LABEL = "qcity-here"  # the only label that the isolated file asks for; act maps it to this machine
OBSERVER = "qcity_observer"
LAST = "qcity_last"
SHELLS = {"": "bash -e {0}", "bash": "bash --noprofile --norc -e -o pipefail {0}", "sh": "sh -e {0}", "python": "python {0}"}
"""What GitHub makes of a step's `shell`; the empty one is that of a step that names none."""
LINGER = """sh -c '"$@"; code=$?; [ $code = 0 ] || sleep 0.2; exit $code' step """
"""act closes the terminal of a step that failed before it has read it to its end; a step that stays a moment longer keeps its last words."""
_STR, _MAP, _SEQ = "tag:yaml.org,2002:str", "tag:yaml.org,2002:map", "tag:yaml.org,2002:seq"


@dataclass(frozen=True, kw_only=True)
class StepPlan:
    """A step as the file has it: the id under which act reports it, the name to show, whether its failure is forgiven."""

    key: str
    name: str
    forgiven: bool = False


@dataclass(frozen=True, kw_only=True)
class Isolated:
    """What act is given: the file's text, the observer's name, and the steps of the job."""

    text: str
    observer: str
    steps: tuple[StepPlan, ...]


def isolate(text: str, *, job: str, leg: Mapping[str, object], needs: Mapping[str, Needed], last: str = "") -> Isolated:
    """The workflow `text` with nothing but `job` in it, in its one matrix `leg`, after the `needs` as they ended.

    Args:
        needs: all ancestors of the job, not only its direct needs.
        last: shell that runs after the job's own steps when they went well; it is not one of them.

    Raises:
        Fault: the file cannot be read or has no such job.
    """
    root = nodes.parse(text)
    jobs = nodes.get(root, "jobs")
    body = nodes.get(jobs, job)
    if not isinstance(body, yaml.MappingNode):
        raise nodes.Fault(0, f'there is no job "{job}"')
    observer = OBSERVER
    while observer == job or observer in needs:
        observer += "_"
    kept = [(_key(name), _stub(needed)) for name, needed in needs.items()]
    kept += [(_key(job), _one_leg(body, leg, last, _shell(root))), (_key(observer), _observer(job))]
    replaced = {"jobs": yaml.MappingNode(_MAP, kept), "on": _text("push")}
    top = [(key, replaced.get(key.value, value)) for key, value in root.value]
    whole = yaml.serialize(_unfolded(yaml.MappingNode(_MAP, top)), Dumper=yaml.SafeDumper, width=1 << 30, allow_unicode=True)
    return Isolated(text=whole, observer=observer, steps=_steps(body))


def _key(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode(_STR, text)


def _text(text: str) -> yaml.ScalarNode:
    return yaml.ScalarNode(_STR, text, style='"')


def _map(items: Mapping[str, yaml.Node]) -> yaml.MappingNode:
    return yaml.MappingNode(_MAP, [(_key(key), value) for key, value in items.items()], flow_style=False)


def _json(value: object) -> yaml.Node:
    """Plain data as nodes. JSON is YAML, so numbers keep their kind."""
    node = yaml.compose(json.dumps(value), Loader=yaml.SafeLoader)
    assert node is not None
    return node


def _stub(needed: Needed) -> yaml.MappingNode:
    """A job that ends as `needed` did. `always()` makes it run whatever its own needs did, so that the chain behind it sees the truth."""
    shape: dict[str, yaml.Node] = {}
    if needed.needs:
        shape["needs"] = _json(list(needed.needs))
    shape["if"] = _text("${{ false }}" if needed.outcome is Outcome.SKIPPED else "${{ always() }}")
    shape["runs-on"] = _text(LABEL)
    names = {f"o{number}": name for number, name in enumerate(needed.outputs)}
    if names:
        shape["outputs"] = _map({name: _text(f"${{{{ steps.s.outputs.{short} }}}}") for short, name in names.items()})
    script = "".join(_assign(short, needed.outputs[name]) for short, name in names.items())
    script += "exit 0\n" if needed.outcome.green else "exit 1\n"
    step = _map({"id": _text("s"), "shell": _text("bash"), "run": _text(script)})
    shape["steps"] = yaml.SequenceNode(_SEQ, [step])
    return _map(shape)


def _assign(name: str, value: str) -> str:
    """Shell that sets an output to any text: base64 keeps it from the shell, a mark that it cannot contain from act's reader."""
    raw = base64.b64encode(value.encode("utf-8", "surrogatepass")).decode()
    mark = "END_" + hashlib.sha256(value.encode("utf-8", "surrogatepass")).hexdigest()[:24]
    return f"{{ echo '{name}<<{mark}'; echo '{raw}' | base64 -d; echo; echo '{mark}'; }} >> \"$GITHUB_OUTPUT\"\n"


def _one_leg(body: yaml.MappingNode, leg: Mapping[str, object], last: str, shell: str) -> yaml.MappingNode:
    """The job itself: its own body with one leg for a matrix and a label that act knows. `shell` is the workflow's own choice."""
    entries: list[tuple[yaml.Node, yaml.Node]] = []
    shell = _shell(body) or shell
    for name, key, value in nodes.entries(body):
        if name == "strategy":
            if leg:
                entries.append((key, _strategy(value, leg)))
        elif name == "runs-on":
            entries.append((key, _text(LABEL)))
        elif name == "steps" and isinstance(value, yaml.SequenceNode):
            steps = [_lingering(step, shell) for step in value.value] + ([_last(last)] if last else [])
            entries.append((key, yaml.SequenceNode(_SEQ, steps, flow_style=False)))
        elif name not in ("timeout-minutes", "concurrency"):
            entries.append((key, value))
    return yaml.MappingNode(_MAP, entries, flow_style=False)


def _last(script: str) -> yaml.MappingNode:
    step = {"id": _text(LAST), "if": _text("${{ success() }}"), "shell": _text("bash"), "run": _text(script)}
    return _map({**step, "working-directory": _text("${{ github.workspace }}")})


def _shell(node: yaml.Node) -> str:
    """The shell that a workflow or a job chooses for all its steps."""
    return nodes.scalar(nodes.get(nodes.get(nodes.get(node, "defaults"), "run"), "shell")) or ""


def _lingering(step: yaml.Node, default: str) -> yaml.Node:
    """The step, staying a moment when it fails. One whose shell act has to prepare, or that is only known while it runs, stays as it is."""
    shell = nodes.scalar(nodes.get(step, "shell")) or default
    command = SHELLS.get(shell, shell)
    if not isinstance(step, yaml.MappingNode) or nodes.get(step, "run") is None or "{0}" not in command or "${{" in command:
        return step
    rest = [(key, value) for key, value in step.value if key.value != "shell"]
    return yaml.MappingNode(_MAP, [*rest, (_key("shell"), _text(LINGER + command))], flow_style=False)


def _strategy(node: yaml.Node, leg: Mapping[str, object]) -> yaml.MappingNode:
    shape: dict[str, yaml.Node] = {"matrix": _map({"include": _json([dict(leg)])})}
    fail_fast = nodes.get(node, "fail-fast")
    if fail_fast is not None:
        shape["fail-fast"] = fail_fast
    return _map(shape)


def _observer(job: str) -> yaml.MappingNode:
    # JSON has no line that consists of the mark, and base64 makes one line of it, which no terminal setting can break.
    script = "base64 -w0 <<'QCITY_END'\n${{ toJSON(needs) }}\nQCITY_END\necho\n"
    step = _map({"id": _text("see"), "shell": _text("bash"), "run": _text(script)})
    shape = {"needs": _json([job]), "if": _text("${{ always() }}"), "runs-on": _text(LABEL)}
    return _map({**shape, "steps": yaml.SequenceNode(_SEQ, [step])})


def _steps(body: yaml.MappingNode) -> tuple[StepPlan, ...]:
    listed = nodes.get(body, "steps")
    found: list[StepPlan] = []
    for number, step in enumerate(listed.value if isinstance(listed, yaml.SequenceNode) else ()):
        run = (nodes.scalar(nodes.get(step, "run")) or "").strip()
        name = nodes.scalar(nodes.get(step, "name")) or nodes.scalar(nodes.get(step, "uses")) or (f"Run {run.splitlines()[0]}" if run else "")
        forgiven = nodes.scalar(nodes.get(step, "continue-on-error")) not in (None, "false")
        found.append(StepPlan(key=nodes.scalar(nodes.get(step, "id")) or str(number), name=name[:200], forgiven=forgiven))
    return tuple(found)


def _unfolded(root: yaml.Node) -> yaml.Node:
    """Folded scalars written as literal ones: the value is the same, and PyYAML cannot write every folded one back."""
    queue, seen = [root], set[int]()
    while queue:
        node = queue.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        if isinstance(node, yaml.ScalarNode) and node.style == ">":
            node.style = "|"
        elif isinstance(node, yaml.MappingNode):
            queue.extend(part for pair in node.value for part in pair)
        elif isinstance(node, yaml.SequenceNode):
            queue.extend(node.value)
    return root

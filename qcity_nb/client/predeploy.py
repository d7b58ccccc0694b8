"""What is looked at before a deployment: tunnels, what carries their addresses on (DNS, pages, files), and links."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from xml.etree import ElementTree as ET

import msgspec

from ..decide.health import Level
from ..decide.linkcheck import judge_level
from ..decide.tunnel_health import condition
from ..decide.wording import count, line, sentence, visible
from ..errors import QCityError
from ..io.files import is_locked
from ..model.linkcheck import Verdict
from ..model.tunnel import Binding, Page, Pointer
from ..store import tunnels as store
from ..store.tunnels import FollowerRow
from . import dns
from .link import Link, now
from .linkchecks import CheckReport, Expected, examine
from .tables import Html, Shown, mark, table

LEVELS = {Verdict.OK: Level.WELL, Verdict.BROKEN: Level.BAD, Verdict.UNKNOWN: Level.WARN}
GITHUB = """# .github/workflows/pre-deploy.yml
name: pre-deploy
on: [push, pull_request]
permissions:
  contents: read
jobs:
  check:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "3.12"
      - run: pip install "qcity-nb[browser]"
      - run: qcity check --pre-deploy . --junit pre-deploy.xml
      - uses: actions/upload-artifact@v4
        if: always()
        with:
          name: pre-deploy
          path: pre-deploy.xml
"""
GITLAB = """# .gitlab-ci.yml
pre-deploy:
  stage: test
  image: python:3.12
  script:
    - pip install qcity-nb
    - qcity check --pre-deploy . --junit pre-deploy.xml
  artifacts:
    when: always
    reports:
      junit: pre-deploy.xml
"""
SNIPPETS = {"github": GITHUB, "gitlab": GITLAB}


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that was looked at. `kind`: tunnel, dns, page, files or link."""

    kind: str
    name: str
    verdict: Verdict
    text: str
    todo: str = ""


class PreDeploy(Shown):
    """All of them."""

    def __init__(self, checks: Sequence[Check], links: CheckReport | None) -> None:
        self.checks, self.links = list(checks), links

    @property
    def ok(self) -> bool:
        """Whether nothing is known to be wrong."""
        return not self.of(Verdict.BROKEN)

    def of(self, verdict: Verdict) -> list[Check]:
        """Those of which this is known."""
        return [one for one in self.checks if one.verdict is verdict]

    def sentence(self) -> str:
        """How it is."""
        bad, unknown = self.of(Verdict.BROKEN), self.of(Verdict.UNKNOWN)
        parts = [count(sum(one.kind == kind for one in self.checks), kind) for kind in ("tunnel", "link")]
        state = f"{count(len(bad), 'thing is', 'things are')} wrong" if bad else "nothing is wrong"
        return f"{' and '.join(parts)} looked at: {state}{f', of {len(unknown)} nobody could tell' if unknown else ''}."

    def junit(self) -> str:
        """The same as JUnit XML: what is wrong is a failure, what nobody could tell is skipped."""
        top = ET.Element("testsuites", name="qcity check --pre-deploy")
        for kind in dict.fromkeys(one.kind for one in self.checks):
            some = [one for one in self.checks if one.kind == kind]
            failures, skipped = (str(sum(one.verdict is verdict for one in some)) for verdict in (Verdict.BROKEN, Verdict.UNKNOWN))
            suite = ET.SubElement(top, "testsuite", name=kind, tests=str(len(some)), errors="0", failures=failures, skipped=skipped)
            for one in some:
                case = ET.SubElement(suite, "testcase", classname=f"qcity.{kind}", name=line(one.name))
                if one.verdict is Verdict.BROKEN:
                    ET.SubElement(case, "failure", message=line(one.text)).text = visible(f"{sentence(one.text)} {one.todo}".strip())
                elif one.verdict is Verdict.UNKNOWN:
                    ET.SubElement(case, "skipped", message=line(one.text))
        return '<?xml version="1.0" encoding="UTF-8"?>\n' + ET.tostring(top, encoding="unicode") + "\n"

    def __repr__(self) -> str:
        some = [*self.of(Verdict.BROKEN), *self.of(Verdict.UNKNOWN)]
        lines = (f"  {LEVELS[one.verdict].glyph} {one.kind} {line(one.name)}: {sentence(one.text)} {one.todo}".rstrip() for one in some)
        return "\n".join((self.sentence(), *lines))

    def _html(self) -> str:
        rows = [(Html(mark(LEVELS[one.verdict], one.verdict.value)), one.kind, line(one.name), one.text, one.todo) for one in self.checks]
        return table(self.sentence(), ("", "what", "name", "how", "what to do"), rows, empty="")


def run(
    link: Link, paths: Iterable[str], *, browser: bool | None = None, private: bool = False, offline: bool = False, expected: Sequence[Expected] = ()
) -> PreDeploy:
    """Look at everything before a deployment; see `linkchecks.examine` for the arguments. Starts nothing."""
    with link.read() as connection:
        rows = store.all_of(connection, link.place)
        followers = store.followers_of(connection, link.place)
        issued = store.issued_of(connection, link.place)
    checks = []
    alive = is_locked(link.store.home.lock)
    for row in rows:
        how = condition(row.view, now(), alive=alive)
        if how.level is not Level.OFF:
            checks.append(Check(kind="tunnel", name=row.name, verdict=judge_level(how.level), text=how.text, todo=how.todo))
    urls = {row.name: row.view.url for row in rows if row.name in {check.name for check in checks}}
    checks += [_carried(link, row, urls[row.tunnel], offline=offline) for row in followers if row.tunnel in urls]
    report = examine(link.store.home, paths, issued=issued, browser=browser, private=private, offline=offline, expected=expected)
    for one in report.checked:
        name = f"{one.spot.path}:{one.spot.line} {one.spot.url}"
        checks.append(Check(kind="link", name=name, verdict=one.verdict, text=one.why or "it is well", todo=one.todo))
    return PreDeploy(checks, report)


def _carried(link: Link, row: FollowerRow, url: str, *, offline: bool) -> Check:
    """Whether an address was carried on; a pointer is looked up afresh, because others may change the DNS."""
    follower, last = row.follower, row.last
    kind = {Pointer: "dns", Page: "page", Binding: "files"}[type(follower)]
    verdict = Verdict.UNKNOWN if last is None else Verdict.OK if last.ok else Verdict.BROKEN
    text, todo = (last.text, last.todo) if last else ("it was not told yet", "")
    if isinstance(follower, Pointer) and verdict is Verdict.OK and not offline:
        verdict, text, todo = _resolved(link, follower, row.tunnel, url)
    return Check(kind=kind, name=row.key, verdict=verdict, text=text, todo=todo)


def _resolved(link: Link, pointer: Pointer, tunnel: str, url: str) -> tuple[Verdict, str, str]:
    try:
        answer = dns.show(link.store.home.root, pointer.kind, pointer.name, service=tunnel, options=pointer.options)
    except QCityError as error:
        return Verdict.UNKNOWN, error.what, error.todo
    if (answer.reading, answer.url) == ("live", url):
        return Verdict.OK, f"its servers say {url}, generation {answer.generation}", ""
    said = f"{answer.url}, which is {answer.reading}" if answer.url else f"nothing that counts ({answer.reading})"
    return Verdict.BROKEN, f"its servers say {said}, and {tunnel} is at {url or 'no address'}", f"qcity tunnel test {tunnel} publishes it again"

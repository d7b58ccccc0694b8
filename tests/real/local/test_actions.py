# ruff: noqa: E501
"""The bundled actions, run by act: artifacts, caches, toolchains."""

from __future__ import annotations

import os
import re

import pytest

from qcity_nb.model.work import Outcome

pytestmark = pytest.mark.real

ARTIFACTS = """
on: push
jobs:
  make:
    runs-on: x
    steps:
      - run: |
          mkdir -p "dist/sub dir"; echo 1 > dist/a.txt; echo 2 > "dist/sub dir/b c.txt"; echo 3 > dist/x.log; echo h > dist/.hidden
          ln -s /etc/passwd dist/link; echo root > one
      - uses: actions/upload-artifact@v4
        with:
          name: texts
          path: |
            dist/**/*.txt
            !dist/nothing
      - uses: actions/upload-artifact@v4.3.1
        with: {name: all of it, path: dist/}
      - uses: actions/upload-artifact@0123456789012345678901234567890123456789
        with: {name: single, path: one}
      - uses: actions/upload-artifact@v4
        with: {name: none, path: nothing/here}
      - run: ln -s /etc "$QCITY_OUT/artifacts/evil"; mkdir "$QCITY_OUT/artifacts/odd"; mkfifo "$QCITY_OUT/artifacts/odd/pipe"; ln -s /etc/shadow "$QCITY_OUT/artifacts/odd/s"
  use:
    needs: make
    runs-on: x
    steps:
      - uses: actions/download-artifact@v4
        id: got
        with: {name: texts, path: here}
      - uses: actions/download-artifact@v4
        with: {pattern: "all*", merge-multiple: true, path: merged}
      - run: find here merged -type f | sort; test "${{ steps.got.outputs.download-path }}" = "$PWD/here"; echo x >> here/a.txt
  miss:
    needs: make
    runs-on: x
    steps:
      - uses: actions/download-artifact@v4
        with: {name: nothing such}
  must:
    runs-on: x
    steps:
      - uses: actions/upload-artifact@v4
        with: {name: n, path: nothing, if-no-files-found: error}
  badname:
    runs-on: x
    steps:
      - uses: actions/upload-artifact@v4
        with: {name: ../../up, path: .}
"""


def test_artifacts_between_jobs(once) -> None:
    driver, ends = once(ARTIFACTS)
    make = ends["make"]
    assert make.outcome is Outcome.SUCCESS, driver.log(make.token)
    found = {one.name: one for one in make.artifacts}
    assert set(found) == {"texts", "all of it", "single", "odd"}
    assert (found["texts"].files, found["texts"].size) == (2, 4)
    root = driver.home.root / found["texts"].path
    assert sorted(str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()) == ["a.txt", "sub dir/b c.txt"]
    assert sorted(path.name for path in (driver.home.root / found["all of it"].path).iterdir()) == ["a.txt", "link", "sub dir", "x.log"]
    assert [path.name for path in (driver.home.root / found["single"].path).iterdir()] == ["one"]
    assert not list((driver.home.root / found["odd"].path).iterdir())
    for path in driver.home.artifacts.rglob("*"):
        assert not path.is_symlink()
        assert path.stat().st_uid == os.geteuid()
    assert any("no files were found" in note.message for note in make.annotations)
    assert ends["use"].outcome is Outcome.SUCCESS, driver.log(ends["use"].token)
    listed = re.findall(r"^(?:here|merged)/.*", driver.log(ends["use"].token), re.MULTILINE)
    assert listed == ["here/a.txt", "here/sub dir/b c.txt", "merged/a.txt", "merged/link", "merged/sub dir/b c.txt", "merged/x.log"]
    assert "there is no artifact" in ends["miss"].reason
    assert "no files were found" in ends["must"].reason
    assert "is not a name for an artifact" in ends["badname"].reason


CACHE = """
on: push
jobs:
  a:
    runs-on: x
    steps:
      - uses: actions/checkout@v4
      - id: c
        uses: actions/cache@v4
        with:
          path: |
            deps
            ~/.cache/tool
          key: deps-${{ hashFiles('lock') }}
          restore-keys: |
            deps-
      - run: |
          echo "hit=${{ steps.c.outputs.cache-hit }} have=$(cat deps/v ~/.cache/tool/t 2>/dev/null | tr '\\n' ' ')"
          mkdir -p deps ~/.cache/tool; cat lock > deps/v; echo tool > ~/.cache/tool/t
      - run: test "$(cat lock)" != bad
"""


def test_cache_between_builds(repo, drive) -> None:
    """A miss, a hit, an older one by its beginning; nothing is kept of a failed job."""
    repo.commit({".github/workflows/ci.yml": CACHE, "lock": "one\n"})
    driver = drive(repo)
    said = []
    for number, lock in enumerate(["one\n", "one\n", "bad\n", "two\n"], 1):
        if number > 1:
            repo.commit({"lock": lock}, message=f"{number}")
        end = driver.run(driver.builds(number)[-1])["a"]
        assert end.outcome is (Outcome.FAILURE if lock == "bad\n" else Outcome.SUCCESS)
        said.append(re.search(r"^hit=.*", driver.log(end.token), re.MULTILINE)[0].strip())
    assert said == ["hit= have=", "hit=true have=one tool", "hit=false have=one tool", "hit=false have=one tool"]
    assert len(list((driver.home.cache / "runner").iterdir())) == 2


def test_setup_python_and_a_version_that_is_not_there(once) -> None:
    driver, ends = once(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - id: p\n      uses: actions/setup-python@v5\n      with: {python-version: '3.x'}\n"
        "    - run: python -c 'import sys; print(sys.prefix != sys.base_prefix, sys.version_info >= (3, 9))'; python -m pip --version; test -n '${{ steps.p.outputs.python-version }}'\n"
        "  b:\n    runs-on: x\n    steps:\n    - uses: actions/setup-python@v5\n      with: {python-version: '3.99'}\n"
        "  c:\n    runs-on: x\n    steps:\n    - uses: actions/setup-node@v4\n      with: {node-version: 99}\n"
    )
    assert ends["a"].outcome is Outcome.SUCCESS, driver.log(ends["a"].token)
    assert "True True" in driver.log(ends["a"].token)
    assert ends["b"].outcome is Outcome.FAILURE
    assert re.search(r"Python 3\.99 is not on this machine; there are: .*3\.\d+\.\d+", ends["b"].reason)
    assert re.search(r"Node 99 is not on this machine", ends["c"].reason)


def test_an_action_that_somebody_stored_runs_and_another_is_refused(repo, drive, tmp_path) -> None:
    folder = tmp_path / "home" / "actions" / "acme" / "hello" / "v1"
    folder.mkdir(parents=True)
    (folder / "action.yml").write_text("name: h\nruns: {using: composite, steps: [{shell: bash, run: echo hello from acme}]}\n")
    repo.workflow(
        "on: push\njobs:\n  a:\n    runs-on: x\n    steps:\n    - uses: acme/hello@v1\n  b:\n    runs-on: x\n    steps:\n    - uses: acme/hello@v2\n  c:\n    needs: b\n    runs-on: x\n    steps: [{run: x}]\n"
    )
    driver = drive(repo)
    plan = driver.builds()[0]
    assert [job.refusal for job in plan.jobs] == [
        "",
        '.github/workflows/ci.yml:10: job "b" uses the action `acme/hello@v2`, which is neither bundled nor stored on this machine',
        '.github/workflows/ci.yml:11: job "c" needs "b", which was left out',
    ]
    end = driver.run(plan)["a"]
    assert "hello from acme" in driver.log(end.token)

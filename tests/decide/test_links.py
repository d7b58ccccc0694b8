"""Which bytes are an address that we issued: formats, boundaries, spots, and random files full of decoys."""

from __future__ import annotations

import json
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import links
from qcity_nb.errors import BadInput
from qcity_nb.model.link import Wanted, done, undone
from qcity_nb.model.tunnel import Issued
from qcity_nb.testing import link_corpus as corpus

OLD, NEW, SHARED = "https://old.example", "https://new.example:8443", "https://dev.example"
AIM = links.Aim(tunnel="app", new=NEW, old=(OLD, "http://127.0.0.1:8888"), shared=(SHARED,))


def rewrite(text, path="a.md", *, whole=True, spots=(), aim=AIM):
    """The new text, and what was remarked; a second pass finds nothing, and taking it back gives the same bytes."""
    data = text if isinstance(text, bytes) else text.encode()
    wanted = Wanted(whole=whole, spots=spots)
    reading = links.read(path, data, aim, wanted)
    after = done(data, reading.edits)
    assert links.read(path, after, aim, wanted).edits == ()
    assert done(after, undone(reading.edits)) == data
    new = after if isinstance(text, bytes) else after.decode()
    return new, [remark.why for remark in reading.remarks] + ([reading.refused] if reading.refused else [])


def issued(tunnel, origin, *, until=None):
    return Issued(tunnel=tunnel, generation=1, provider="ssh", origin=origin, since=datetime(2026, 1, 1, tzinfo=timezone.utc), until=until)


@pytest.mark.parametrize(
    "text",
    [
        "{}", "{}/", "{}/a?b=c#d", "({})", "<{}>", '"{}"', "'{}'", "see {}.", "{}, and", "{}; {}", "{}…", "“{}”", "{}。", "看{}\uff0c好", "[a]({}/x)",
        "[a]: {}",
        "`{}`", "{}:443/x", "{}&amp;x", "a\\n{}", "\\t{}/x", "x={}", "{}\\nnext", "|{}|", "https://proxy.example/{}/x", "{}!", "{}?", "*{}*",
    ],
)  # fmt: skip
def test_an_address_of_ours_is_replaced_wherever_it_stands(text):
    assert rewrite(text.replace("{}", OLD)) == (text.replace("{}:443", "{}").replace("{}", NEW), [])


LIKE = [decoy for decoy in corpus._DECOYS if "{}" in decoy]


@pytest.mark.parametrize("text", [*LIKE, "{}:8443", "{}@x", "{}./x", "{}\\u002eevil", "{}é", "{}。evil", "a{}"])
def test_what_only_looks_like_it_is_left_alone(text):
    assert rewrite(text.replace("{}", OLD))[0] == text.replace("{}", OLD)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("https%3A%2F%2Fold.example%2Fa", "percent-encoded"),
        (r'{"a": "https:\u002f\u002fold.example"}', "escaped"),
        ("wss://old.example/socket", "another scheme"),
        ("//old.example/x", "no scheme"),
        ("https://me@old.example", "a user's name"),
        ("https://old.ex\n  ample/x", "cut by a line's end"),
        ("https://old.example%2eevil.com", "encoded"),
        (SHARED, "other tunnels had the same address"),
    ],
)
def test_what_is_seen_and_not_changed_is_said(text, why):
    after, whys = rewrite(text)
    assert after == text
    assert len(whys) == 1
    assert why in whys[0]


def test_capital_letters_and_the_usual_port_are_the_same_address():
    assert rewrite("HTTPS://Old.Example:443/A")[0] == f"{NEW}/A"
    assert links.origin_of("HTTPS://Old.Example:443/") == OLD
    assert links.origin_of("http://[::1]:8888") == "http://[::1]:8888"


@pytest.mark.parametrize("text", ["", "old.example", "ftp://a", "https://", "https://a b", "https://a?x=1", "https://u@a", "javascript:x", "https://a:999999"])
def test_what_is_no_origin_is_refused(text):
    with pytest.raises(BadInput, match="is no origin"):
        links.origin_of(text)


def test_bytes_around_stay_as_they_are():
    data = b"\xef\xbb\xbf# T\r\n\r\n\t- https://old.example/x  \r\n   tail \xc3\xa9"
    assert rewrite(data)[0] == data.replace(OLD.encode(), NEW.encode())


def test_json_keeps_its_spelling():
    text = '{\n   "a":"https:\\/\\/old.example\\/x" ,"b" : ["x\\nhttps://old.example"]}'
    assert rewrite(text, "a.json")[0] == text.replace("https:\\/\\/old.example", "https:\\/\\/new.example:8443").replace(OLD, NEW)


def test_only_the_sources_of_a_notebook_change():
    cells = [
        {"cell_type": "markdown", "source": [f"see {OLD}/a\n", f"{OLD}"], "metadata": {"source": OLD}},
        {"cell_type": "code", "source": f"open('{OLD}')", "outputs": [{"text": [OLD], "source": OLD}], "metadata": {}},
    ]
    text = json.dumps({"cells": cells, "metadata": {"source": OLD}, "nbformat": 4}, indent=1)
    after, whys = rewrite(text, "a.ipynb")
    assert whys == []
    assert after.count(NEW) == 3
    found = json.loads(after)
    assert found["cells"][0]["source"] == [f"see {NEW}/a\n", NEW]
    assert found["cells"][1]["outputs"] == cells[1]["outputs"]
    assert found["cells"][0]["metadata"] == cells[0]["metadata"]
    assert rewrite(f"{OLD} no JSON", "a.ipynb")[0] == f"{OLD} no JSON"


def test_a_marked_region_belongs_to_its_tunnel_whatever_stands_there():
    text = f"<!-- qcity:link app -->[a](https://any.example/x) {SHARED}<!-- /qcity:link --> <!-- qcity:link other -->{OLD}<!-- /qcity:link -->"
    assert rewrite(text)[0] == f"<!-- qcity:link app -->[a]({NEW}/x) {NEW}<!-- /qcity:link --> <!-- qcity:link other -->{OLD}<!-- /qcity:link -->"


def test_a_kept_region_is_never_touched_not_even_inside_of_a_marked_one():
    kept = f"<!-- qcity:keep -->{OLD}<!-- /qcity:keep -->"
    assert rewrite(f"{kept} {OLD}")[0] == f"{kept} {NEW}"
    assert rewrite(f"<!-- qcity:link app -->{kept} {OLD}<!-- /qcity:link -->")[0] == f"<!-- qcity:link app -->{kept} {NEW}<!-- /qcity:link -->"
    assert rewrite(f"a: {OLD}\n# qcity:keep\nb: {OLD}\n# /qcity:keep\n", "a.yml")[0] == f"a: {NEW}\n# qcity:keep\nb: {OLD}\n# /qcity:keep\n"
    after, whys = rewrite(f"{OLD}\n<!-- qcity:keep -->\n{OLD}")
    assert after == f"{NEW}\n<!-- qcity:keep -->\n{OLD}"
    assert whys == ["it has no end: all below it is left alone"]


def test_markers_of_a_cell_count_and_those_in_outputs_do_not():
    cells = [
        {"cell_type": "markdown", "source": ["<!-- qcity:link app -->\n", "https://any.example\n", "<!-- /qcity:link -->"]},
        {"cell_type": "code", "source": ["# qcity:keep\n", f"{OLD}\n", "# /qcity:keep\n", OLD], "outputs": [{"text": "<!-- qcity:keep -->"}]},
        {"cell_type": "code", "source": OLD},
    ]
    after = json.loads(rewrite(json.dumps({"cells": cells}), "a.ipynb")[0])["cells"]
    assert [cell["source"][1:] for cell in after[:2]] == [[f"{NEW}\n", "<!-- /qcity:link -->"], [f"{OLD}\n", "# /qcity:keep\n", NEW]]
    assert after[2]["source"] == NEW


def test_markers_in_code_are_examples_and_addresses_in_code_are_links():
    text = f"```\n<!-- qcity:keep -->\n{OLD}\n```\n~~~\n<!-- qcity:keep -->\n~~~\nwrite `<!-- qcity:keep -->` {OLD}\n"
    assert rewrite(text) == (text.replace(OLD, NEW), [])


@pytest.mark.parametrize(
    ("path", "text", "spot", "after"),
    [
        ("a.json", '{"links": {"app": "http://a.b/c", "x": "http://a.b"}}', "/links/app", '{"links": {"app": "NEW/c", "x": "http://a.b"}}'),
        ("a.json", '{"a/b": ["x", {"ü": "http:\\/\\/a.b"}]}', "/a~1b/1/ü", '{"a/b": ["x", {"ü": "https:\\/\\/new.example:8443"}]}'),
        ("a.yaml", "# ü\r\nx:\r\n  app: http://a.b/c # http://a.b\r\n", "/x/app", "# ü\r\nx:\r\n  app: NEW/c # http://a.b\r\n"),
        ("a.yml", "- {u: 'http://a.b'}\n- http://a.b\n", "/0/u", "- {u: 'NEW'}\n- http://a.b\n"),
        ("a.toml", '[x]\napp = "http://a.b/c"\nother = "http://a.b"\n', "/x/app", '[x]\napp = "NEW/c"\nother = "http://a.b"\n'),
        ("a.toml", 'x = {a = "http://a.b", app = "http://a.b"}\n', "/x/app", 'x = {a = "http://a.b", app = "NEW"}\n'),
        ("a.md", "[app]: <http://a.b/c> 'T'\n[x]: http://a.b\n", "[app]", "[app]: <NEW/c> 'T'\n[x]: http://a.b\n"),
    ],
)
def test_a_spot_belongs_to_the_tunnel_whatever_stands_there(path, text, spot, after):
    assert rewrite(text, path, whole=False, spots=(spot,)) == (after.replace("NEW", NEW), [])


@pytest.mark.parametrize(("path", "spot"), [("a.json", "/x"), ("a.json", "/a/0"), ("a.yaml", "/x/y"), ("a.toml", "/x/y"), ("a.md", "[x]")])
def test_a_spot_that_is_not_there_is_said(path, spot):
    assert rewrite('{"a": 1}', path, whole=False, spots=(spot,)) == ('{"a": 1}', ["there is no such spot in it"])


@pytest.mark.parametrize("text", ["{", '{"a": ', "[" * 5000, "a: [", "\t- :"])
@pytest.mark.parametrize("path", ["a.json", "a.yaml", "a.toml", "a.ipynb"])
def test_what_cannot_be_read_is_left_alone(path, text):
    assert rewrite(text, path, whole=False, spots=("/a/0",))[0] == text


def test_histories_binary_files_and_other_encodings_are_left_alone():
    for path in ("CHANGELOG.md", "docs/History.rst", "NEWS", "release-notes-1.2.md"):
        assert rewrite(OLD, path) == (OLD, ["the file tells what was"])
    assert rewrite(OLD.encode() + b"\0")[1] == ["it is a binary file"]
    assert rewrite(OLD.encode() + b"\xff")[1] == ["it is not UTF-8 text (byte 19)"]
    assert rewrite(OLD.encode("utf-16"))[1] == []
    assert rewrite(OLD, "history.json")[0] == NEW


def test_the_ledger_says_what_may_be_replaced():
    had = (("app", "https://a.example"), ("b", "https://b.example"), ("app", "https://b.example"), ("app", "https://c.example"))
    ledger = [issued(*one) for one in had]
    aim = links.aim(ledger, tunnel="app", new="https://c.example/")
    assert (aim.old, aim.shared, aim.new) == (("https://a.example",), ("https://b.example",), "https://c.example")


def test_an_address_with_a_path_is_replaced_as_a_whole():
    aim = links.Aim(tunnel="app", new="https://t.example", old=("https://hub.example/user/ann/proxy/8888",))
    text = "https://hub.example/user/ann/proxy/8888/x https://hub.example/user/ann/proxy/88889 https://hub.example/user"
    assert rewrite(text, aim=aim)[0] == text.replace("https://hub.example/user/ann/proxy/8888/x", "https://t.example/x")


def test_patterns_choose_files():
    rewriter = links.Rewriter(aim=AIM, patterns=("README.md", "docs/**/*.md", "!docs/old/**", "app.json#/links/app", "c[12].md"), paths=("odd[*.md",))
    paths = ("README.md", "docs/a.md", "docs/x/y.md", "docs/old/a.md", "app.json", "c1.md", "odd[*.md", "src/README.md")
    wanted = {path: rewriter.wants(path) for path in paths}
    assert {path for path, one in wanted.items() if one} == {"README.md", "docs/a.md", "docs/x/y.md", "app.json", "c1.md", "odd[*.md"}
    assert wanted["app.json"] == Wanted(whole=False, spots=("/links/app",))
    assert rewriter.literal == ("odd[*.md", "README.md", "app.json")
    assert rewriter.enters("docs/x")
    assert not rewriter.enters("src")
    assert not links.Rewriter(aim=AIM, patterns=("**/*.md",)).enters("x/node_modules")


@pytest.mark.parametrize("pattern", ["/etc/passwd", "../x.md", "a/../../b", "", "a.json#links", "~/x"])
def test_patterns_that_lead_elsewhere_are_refused(pattern):
    with pytest.raises(BadInput):
        links.Rewriter(aim=AIM, patterns=(pattern,))


def test_900_files_with_decoys_have_no_mistake():
    files = corpus.corpus()
    aim = links.Aim(tunnel="app", new=corpus.NEW, old=corpus.OLD)
    wanted = Wanted(whole=True)
    results = {}
    for path, sample in files.items():
        edits = links.read(path, sample.before, aim, wanted).edits
        results[path] = done(sample.before, edits)
        assert links.read(path, results[path], aim, wanted).edits == ()
        assert done(results[path], undone(edits)) == sample.before
    score = corpus.score(files, results)
    assert (score.missed, score.false, score.stray) == (0, 0, 0)
    assert score.right > 7000
    assert sum(len(sample.owned) - sum(sample.owned) for sample in files.values()) > 6000
    assert all(results[path] == sample.after for path, sample in files.items())


HOSTS = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?(\.[a-z0-9]([a-z0-9-]{0,6}[a-z0-9])?){1,3}", fullmatch=True)
SCHEMES, PORTS = st.sampled_from(["http", "https"]), st.sampled_from(["", ":8443", ":81"])
ORIGINS = st.builds(lambda scheme, host, port: f"{scheme}://{host}{port}", SCHEMES, HOSTS, PORTS)
BEFORE = st.sampled_from(["", " ", "(", "<", '"', "\n", "[a](", "\\n", "é", "/", "=", "\ufeff", "\r\n", "\t"])
AFTER = st.sampled_from(["", " ", "/", "/x?y=1", ")", ">", '"', ". ", ".\n", ",", "?", "#z", "\n", "\r\n", "\\n", "”", "…", "&x", "'"])
SPOILT_BEFORE = st.sampled_from(["x", "7", "-", ".", "+", "_"])
SPOILT_AFTER = st.sampled_from(["x", "9", "-x", ".evil", ":99999"[:3], "@evil", "_", "%2e", "&#46;x", "é", "\\u002e", "。evil", "\\x2e"])


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_exactly_the_owned_origins_of_random_files_change(data):
    old = data.draw(st.lists(ORIGINS, min_size=1, max_size=3, unique_by=str.lower))
    new = data.draw(ORIGINS.filter(lambda one: one not in old))
    before, after = "", ""
    for _ in range(data.draw(st.integers(0, 12))):
        origin = data.draw(st.sampled_from(old))
        kind = data.draw(st.sampled_from(["owned", "before", "after", "text", "other"]))
        if kind == "owned":
            left, right = data.draw(BEFORE), data.draw(AFTER)
            pair = (left + origin + right, left + new + right)
        elif kind == "before":
            pair = (data.draw(SPOILT_BEFORE) + origin + "/",) * 2
        elif kind == "after":
            pair = (" " + origin + data.draw(SPOILT_AFTER),) * 2
        elif kind == "other":
            pair = (" " + data.draw(ORIGINS.filter(lambda one: not any(one == mine for mine in old))) + "/",) * 2
        else:
            pair = (data.draw(st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)),) * 2
        before, after = before + "\n" + pair[0] + " ", after + "\n" + pair[1] + " "
    aim = links.Aim(tunnel="app", new=new, old=tuple(old))
    path = data.draw(st.sampled_from(["a.md", "a.html", "a.json", "a.yaml", "a.txt"]))
    assert rewrite(before, path, aim=aim)[0] == after


@settings(max_examples=100, deadline=None)
@given(
    cells=st.lists(st.tuples(st.lists(st.text(max_size=8), max_size=4), st.text(max_size=8), st.booleans()), max_size=5),
    indent=st.sampled_from([None, 1, 2]),
    ascii_=st.booleans(),
)
def test_random_notebooks_change_in_their_sources_only(cells, indent, ascii_):
    def notebook(origin):
        made = [
            {
                "cell_type": "code",
                "source": [f"{part} {origin}/\n" for part in parts] if listed else f"{tail} {origin} ",
                "outputs": [{"text": [f"{OLD} {tail}"], "cells": [{"source": OLD}]}],
                "metadata": {"source": [OLD], tail: OLD},
            }
            for parts, tail, listed in cells
        ]
        return json.dumps({"metadata": {"cells": [{"source": OLD}]}, "cells": made}, indent=indent, ensure_ascii=ascii_)

    if any("\ud800" <= char <= "\udfff" for char in notebook(OLD)):
        return
    assert rewrite(notebook(OLD), "a.ipynb")[0] == notebook(NEW)


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=400), st.sampled_from(["a.md", "a.json", "a.ipynb", "a.html", "a.yaml", "a.toml"]))
def test_no_bytes_make_it_fail(noise, path):
    for data in (noise, noise + OLD.encode() + noise, b'{"cells":[{"source":"' + OLD.encode() + noise):
        reading = links.read(path, data, AIM, Wanted(whole=True, spots=("/cells/0/source",)))
        assert done(done(data, reading.edits), undone(reading.edits)) == data

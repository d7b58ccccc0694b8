"""Who is let in, who may do what, and what is refused: asked over real HTTP."""

from __future__ import annotations

import threading
from dataclasses import replace

import httpx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from qcity_nb.client import served
from qcity_nb.decide import roles, web
from qcity_nb.decide.roles import Role
from qcity_nb.errors import BadInput
from qcity_nb.model.tunnel import Reach, TunnelState, TunnelView
from qcity_nb.store import commands, tunnels

ALL = [role.value for role in Role]


def act(client, verb="drain", name="a", nonce="1", **more):
    return client.post("/act", json={"kind": "act", "verb": verb, "name": name, "nonce": nonce, "confirmed": True, **more})


def asked(place):
    with place.store.read() as connection:
        return [(one.actor, one.verb, one.subject) for one in commands.latest(connection, place.store.place)]


# ── signing in ──


def test_a_link_works_once_and_its_token_is_kept_nowhere(page):
    token = page.token("operator")
    assert page.client().post("/login", json={"token": token}).status_code == 200
    again = page.client().post("/login", json={"token": token})
    assert again.status_code == 403
    assert again.json() == {"error": "That link is used up, over or revoked. Ask for another one: qcity serve link prints it."}
    kept = page.token("viewer")
    files = [path.read_text(errors="replace") + path.name for path in page.home.rglob("*") if path.is_file() and path.suffix != ".db"]
    assert not any(kept in text for text in files)


def test_of_many_who_open_one_link_at_once_one_gets_in(page):
    token, found, gate = page.token("master"), [], threading.Barrier(8)

    def enter():
        gate.wait()
        found.append(page.sessions.enter(token) is not None)

    threads = [threading.Thread(target=enter) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(found) == [False] * 7 + [True]


def test_a_shared_link_lets_in_everybody_until_it_ends_and_is_for_viewers_only(page):
    token = page.token("viewer", shared=True, seconds=60)
    assert [page.client().post("/login", json={"token": token}).status_code for _ in range(3)] == [200, 200, 200]
    with pytest.raises(BadInput, match="Only a link for viewer can be shared"):
        page.token("operator", shared=True)
    with pytest.raises(BadInput, match="cannot be good for"):
        page.token("viewer", seconds=1e9)


def test_a_link_ends_by_itself(page, monkeypatch):
    token, now = page.token("viewer", shared=True), served.time.time()
    monkeypatch.setattr(served.time, "time", lambda: now + 601)  # ten minutes are not waited for
    assert page.client().post("/login", json={"token": token}).status_code == 403


def test_the_cookie_is_for_this_page_only(page, serve):
    cookie = page.client().post("/login", json={"token": page.token("viewer")}).headers["set-cookie"]
    assert cookie.startswith(f"qcity-{page.port}=")
    assert cookie.partition("; ")[2] == "HttpOnly; Max-Age=43200; Path=/; SameSite=strict"
    below = serve(base="/user/ada/qcity/")
    assert "Path=/user/ada/qcity/;" in below.client().post("/login", json={"token": below.token("viewer")}).headers["set-cookie"]


def test_behind_a_tunnel_with_tls_the_cookie_is_secure(page, place):
    tunnel(place, page.port, "https://calm-river.example.net")
    host = {"host": "calm-river.example.net"}
    assert page.client(**host).get("/login").status_code == 200
    assert "; Secure" in page.client(**host).post("/login", json={"token": page.token("viewer")}).headers["set-cookie"]


def test_signing_in_and_out_works_without_a_script(page):
    client = page.client()
    assert 'name="token"' in client.get("/login").text
    answer = client.post("/login", data={"token": f"http://elsewhere/login#{page.token('viewer')}"})  # the whole link was pasted
    assert (answer.status_code, answer.headers["location"]) == (303, "./")
    csrf = client.get("/").text.partition('name="csrf" value="')[2].partition('"')[0]
    assert client.post("/logout", data={"csrf": "guessed"}).status_code == 403
    assert client.get("/session").json() == {"role": "viewer"}
    assert client.post("/logout", data={"csrf": csrf}).status_code == 303
    assert client.get("/session").status_code == 401
    assert "used up" in client.post("/login", data={"token": "nonsense"}).text


def test_guessing_is_slowed_and_locks_nobody_out(page):
    codes = [page.client().post("/login", json={"token": f"guess {number}"}).status_code for number in range(12)]
    assert codes == [403] * 10 + [429] * 2
    page.enter("viewer")


def test_everything_is_taken_back_at_once(page):
    client, unused = page.enter("operator"), page.token("master")
    assert client.get("/session").status_code == 200
    token = served.metrics_token(page.city.link.store.home)
    served.revoke(page.city.link.store.home, page.port)
    assert client.get("/session").status_code == 401
    assert page.client().post("/login", json={"token": unused}).status_code == 403
    assert page.client().get("/metrics", headers={"authorization": f"Bearer {token}"}).status_code == 401


# ── roles ──


@pytest.mark.parametrize("path", ["/session", "/events", "/log?name=a", "/audit", "/metrics"])
def test_who_is_not_signed_in_sees_nothing(page, path):
    assert page.client().get(path).status_code == 401


def test_a_viewer_looks_and_does_not_act(page, place, engine):
    place.runner("a")
    viewer = page.enter("viewer")
    answer = act(viewer)
    assert (answer.status_code, answer.json()["error"]) == (403, "That needs the role operator; your link is for viewer. Ask for another link.")
    assert viewer.get("/log", params={"name": "a"}).status_code == 403
    assert asked(place) == []


@pytest.mark.parametrize("role", ["viewer", "operator"])
def test_who_asked_for_what_is_the_masters(page, place, engine, role):
    place.runner("a")
    act(page.enter("operator", name="ada"))
    answer = page.enter(role).get("/audit")
    assert (answer.status_code, answer.json()["error"]) == (403, f"That needs the role master; your link is for {role}. Ask for another link.")
    assert "web:operator:ada" in page.enter("master").get("/audit").text


@pytest.mark.parametrize("role", ["operator", "master"])
def test_an_act_is_a_command_of_whoever_asked(page, place, engine, role):
    place.runner("a")
    answer = act(page.enter(role, name="ada"))
    assert answer.json() == {
        "kind": "result", "verb": "drain", "name": "a", "nonce": "1", "actor": f"web:{role}:ada", "ok": True,
        "text": "it takes no new jobs and stops when it has finished",
    }  # fmt: skip
    assert asked(place) == [(f"web:{role}:ada", "runner.drain", "a")]


def test_an_act_has_two_steps_one_nonce_and_a_verb(page, place, engine):
    place.runner("a")
    client = page.enter()
    assert act(client, confirmed=False).json()["text"] == "it was not confirmed, so nothing was done. Ask again and say yes."
    assert act(client, nonce="2").json()["ok"] is True
    assert act(client, nonce="2").status_code == 409
    assert act(client, verb="remove", nonce="3").status_code == 403  # an operator is no master
    assert "nothing is called" in act(page.enter("master"), verb="remove", nonce="4").json()["text"]
    assert act(client, name="nobody", nonce="5").json()["text"].startswith('there is no runner "nobody".')
    assert len(asked(place)) == 1


def test_what_is_under_way_for_one_visitor_is_so_for_all(page, place, engine):
    place.runner("a")
    one, other = page.enter("operator", "ada"), page.enter("operator", "bob")
    gate, begun = threading.Event(), threading.Event()

    def slow(_command):
        begun.set()
        gate.wait(10)
        return "done", {}

    engine.answers = {"runner.drain": slow}
    told = []
    thread = threading.Thread(target=lambda: told.append(act(one).json()))
    thread.start()
    assert begun.wait(10)
    assert act(other, nonce="9").json()["text"] == "something is under way for it already. Wait for its result."
    gate.set()
    thread.join(10)
    assert told[0]["ok"] is True


def test_too_many_acts_are_refused(page, place, engine):
    place.runner("a")
    client = page.enter()
    codes = [act(client, nonce=str(number), confirmed=False).status_code for number in range(22)]
    assert codes == [200] * 20 + [429] * 2


def test_a_log_is_for_operators_and_holds_no_endless_line(page, place, engine):
    place.runner("a")
    path = place.store.home.service("a") / "log"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("x" * 3_000_000 + "\ntoken=hunter22 <script>\n")
    said = page.enter().get("/log", params={"name": "a"}).json()
    assert said["text"].endswith("token=*** <script>")
    assert len(said["text"]) < 1000
    assert page.enter().get("/log", params={"name": "../../etc"}).json()["text"].startswith("there is no runner")


@pytest.mark.parametrize("role", ALL)
def test_the_engine_holds_the_page_to_its_roles(role):
    """Whatever the page let through: the actor's name says what he may."""
    may = {verb for verb in ("runner.stop", "runner.remove", "engine.stop", "fleet.leave") if not roles.refusal(f"web:{role}:x", verb)}
    assert may == {"viewer": set(), "operator": {"runner.stop"}, "master": {"runner.stop", "runner.remove", "engine.stop", "fleet.leave"}}[role]
    assert not roles.refusal("ada@here", "engine.stop")
    assert roles.refusal("web:emperor:x", "runner.stop")


@given(st.sampled_from(list(Role)), st.text())
def test_no_name_makes_more_of_a_role(role, name):
    assert roles.refusal(roles.actor(role, name), "engine.stop") == roles.refusal(roles.actor(role, "x"), "engine.stop").replace(
        roles.actor(role, "x"), roles.line(roles.actor(role, name), limit=60)
    )


# ── requests of others ──


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "localhost.evil.example", "127.0.0.1.evil.example", "", "x y"])
def test_a_name_that_somebody_points_here_is_not_answered(page, host):
    for path in ("/", "/healthz", "/login", "/badge.svg"):
        assert page.client(host=host).get(path).status_code == 421


def test_names_that_were_allowed_and_those_of_tunnels_are_answered(page, serve, place):
    assert serve(hosts=("ci.example.org",)).client(host="ci.example.org:8443").get("/login").status_code == 200
    tunnel(place, page.port + 1, "https://other.example.net")
    assert page.client(host="other.example.net").get("/login").status_code == 421


def test_what_changes_something_has_to_come_from_this_page(page, place, engine):
    place.runner("a")
    client = page.enter()
    for headers in (
        {"origin": "http://evil.example"},
        {"origin": "null"},
        {"origin": f"http://127.0.0.1:{page.port + 1}"},
        {"sec-fetch-site": "cross-site"},
        {"sec-fetch-site": "same-site"},
    ):
        answer = client.post("/act", json={}, headers=headers)
        assert (answer.status_code, answer.json()["error"].split(",")[0]) == (403, "That was sent by another page"), headers
        assert page.client(**headers).post("/login", json={"token": page.token("viewer")}).status_code == 403
    for csrf in ("", "guessed", page.enter().headers["x-qcity-csrf"]):  # another session's does not do either
        assert client.post("/act", json={"verb": "drain"}, headers={"x-qcity-csrf": csrf}).status_code == 403
    assert asked(place) == []
    good = {"origin": page.url, "sec-fetch-site": "same-origin"}
    assert client.post("/act", json={"verb": "drain", "name": "a", "nonce": "1", "confirmed": True}, headers=good).json()["ok"] is True


@given(st.text(), st.text())
def test_no_header_makes_the_guard_fail(host, origin):
    web.is_ours(host, (origin,))
    web.is_foreign({"host": host, "origin": origin})


def test_every_answer_carries_its_policy(page):
    client = page.enter()
    answers = [client.get(path) for path in ("/", "/login", "/nothing", "/healthz", "/badge.svg", "/static/page.js")]
    for answer in (*answers, client.post("/act")):
        policy = answer.headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "frame-ancestors 'none'" in policy
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["referrer-policy"] == "same-origin"
        assert "camera=()" in answer.headers["permissions-policy"]
        assert "server" not in answer.headers
    assert client.get("/").headers["cache-control"] == "no-store"


def test_the_page_needs_nothing_from_elsewhere_and_has_no_style_or_script_in_it(page, place):
    place.fleet()
    text = page.enter().get("/").text
    assert " style=" not in text
    assert "http://" not in text.replace("http-equiv", "")
    assert text.count("<script") == text.count('<script type="module" src="static/page.js">') == 1
    assert "&lt;script&gt;" in text  # a runner of that name, in the copy


FILES = ["/static/", "/static", "/static/..%2f..%2fapp.py", "/static/%2e%2e/app.py", "/qcity.db", "/static/page.js/", "/etc/passwd"]


@pytest.mark.parametrize("path", FILES)
def test_there_are_no_other_files_and_no_lists(page, path):
    assert page.enter().get(path).status_code == 404


def test_a_file_that_is_known_is_not_sent_again(page):
    client = page.client()
    mark = client.get("/static/board.js").headers["etag"]
    assert client.get("/static/board.js", headers={"if-none-match": mark}).status_code == 304


def test_what_is_too_much_or_nonsense_is_a_sentence(page):
    client = page.enter()
    assert client.post("/act", content=b"x" * 20_000).json() == {"error": "That is more than this page takes."}
    assert client.post("/act", content=iter([b"x" * 9000] * 9)).status_code == 413
    for nonsense in (b"", b"[]", b"{", b"\xff", b'{"verb": {"a": 1}}'):
        assert client.post("/act", content=nonsense).status_code in (400, 403)
    assert client.put("/act").json() == {"error": "That cannot be done here."}
    assert client.get("/nowhere").json() == {"error": "There is nothing here. The page is at the top."}


# ── behind a proxy ──


def test_below_a_prefix_requests_may_come_with_it_or_without(serve, engine):
    page = serve(base="/user/ada/qcity/")
    for base in ("/", "/user/ada/qcity/"):
        assert httpx.get(f"{page.url}{base}healthz").status_code == 200
    assert httpx.get(f"{page.url}/user/bob/qcity/healthz").status_code == 404
    assert all(f'"{name}' not in page.enter().get("/").text for name in ("/static", "/login", "/events"))


def test_who_comes_through_our_own_proxy_is_the_master_and_nobody_else_is(serve, place, engine):
    place.runner("a")
    page = serve(key="k" * 43)
    of_proxy = {"x-qcity-key": "k" * 43, "host": "hub.example.org", "origin": "https://hub.example.org", "sec-fetch-site": "same-origin"}
    through = page.client(**of_proxy)
    home = through.get("/")
    assert home.status_code == 200
    assert "frame-ancestors 'self'" in home.headers["content-security-policy"]
    assert page.client(**{"x-qcity-key": "k"}).get("/").status_code == 401
    through.headers["x-qcity-csrf"] = home.text.partition('data-csrf="')[2].partition('"')[0]
    assert act(through).json()["actor"] == "web:master:jupyter"
    assert through.post("/act", json={}, headers={"sec-fetch-site": "cross-site"}).status_code == 403
    assert through.post("/act", json={}, headers={"x-qcity-csrf": ""}).status_code == 403


def tunnel(place, port, url):
    view = TunnelView(name="page", state=TunnelState.UP, since=place.at, port=port, url=url, provider="ssh", generation=1)
    with place.store.write() as connection:
        tunnels.put(connection, place.store.place, replace(view, reach=Reach.PUBLIC, proved=place.at), at=place.at)

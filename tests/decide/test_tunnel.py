"""What a tunnel does next, without a network: providers are words, time is a number."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qcity_nb.decide import tunnel
from qcity_nb.model.line import Announce, Answered, App, Ask, Drop, Failed, Given, Look, Missed, Prove, Tick
from qcity_nb.model.tunnel import Fault, TunnelPlan, TunnelState

START = datetime(2026, 11, 28, tzinfo=timezone.utc)


class Stage:
    """A tunnel, and whoever plays its providers."""

    def __init__(self, *chain: str, **plan) -> None:
        self.now = START
        self.line = tunnel.begin(TunnelPlan(name="app", port=8888, chain=chain, **plan), START, generation=plan.pop("generation", 0))
        self.acts = []
        self.tell(Tick())

    def tell(self, event):
        self.line, acts = tunnel.step(self.line, event, self.now)
        self.acts += acts
        return acts

    def later(self, seconds):
        """Time passes, in the steps that the tunnel itself asks for."""
        end, acts = self.now + timedelta(seconds=seconds), []
        while self.now < end:
            self.now = min(max(tunnel.deadline(self.line, self.now), self.now + timedelta(milliseconds=10)), end)
            acts += self.tell(Tick())
        return acts

    def asked(self, provider):
        """The number of the last trial of a provider that was asked for."""
        return [act.number for act in self.acts if isinstance(act, Ask) and act.provider == provider][-1]

    def up(self, provider, *, every=1.0):
        number = self.asked(provider)
        self.tell(Given(number=number, url=f"https://{provider}.example", every=every))
        self.tell(Answered(number=number, asked=self.now, latency=0.01))
        return number

    def missed(self, number, fault=Fault.SILENT):
        self.now += timedelta(milliseconds=10)
        return self.tell(Missed(number=number, asked=self.now, fault=fault, text="nothing came back"))

    def failed(self, number, fault, after=None):
        return self.tell(Failed(number=number, fault=fault, text="it failed", after=after))

    @property
    def addresses(self):
        return [act.url for act in self.acts if isinstance(act, Announce)]


def test_an_address_that_was_printed_is_not_up():
    stage = Stage("ssh")
    stage.tell(Given(number=stage.asked("ssh"), url="https://ssh.example", every=1))
    assert stage.line.state is TunnelState.VERIFYING
    assert stage.addresses == []
    stage.up("ssh")
    assert (stage.line.state, stage.line.generation, stage.addresses) == (TunnelState.UP, 1, ["https://ssh.example"])


def test_generations_go_on_where_the_last_life_ended():
    stage = Stage("ssh")
    stage.line = tunnel.begin(stage.line.plan, START, generation=17)
    stage.acts = []
    stage.tell(Tick())
    stage.up("ssh")
    assert stage.line.generation == 18


def test_one_failed_probe_ends_nothing_and_the_next_provider_is_asked_already():
    stage = Stage("ssh", "backup")
    number = stage.up("ssh")
    acts = stage.missed(number)
    assert stage.line.state is TunnelState.SUSPECT
    assert [act.provider for act in acts if isinstance(act, Ask)] == ["backup"]
    stage.tell(Answered(number=number, asked=stage.now, latency=0.01))
    assert stage.line.state is TunnelState.UP
    assert stage.line.trying is None, "the other one was called off"
    assert stage.line.generation == 1


def test_two_failed_probes_hand_over_to_the_one_that_was_asked_meanwhile():
    stage = Stage("ssh", "backup")
    number = stage.up("ssh")
    stage.missed(number)
    stage.up("backup")
    assert stage.addresses == ["https://ssh.example"], "a second probe tells"
    acts = stage.missed(number)
    assert stage.addresses[-1] == "https://backup.example"
    assert Drop(number=number) in acts
    assert stage.line.state is TunnelState.UP


def test_probes_overlap_and_an_older_one_that_comes_late_says_nothing():
    stage = Stage("ssh")
    number = stage.up("ssh")
    asked = stage.now
    assert [type(act) for act in stage.later(1.0)] == [Prove]
    assert [type(act) for act in stage.later(1.0)] == [Prove], "the first one has not been answered"
    stage.tell(Answered(number=number, asked=stage.now, latency=0.01))
    stage.tell(Missed(number=number, asked=asked, fault=Fault.SILENT, text="late"))
    assert stage.line.state is TunnelState.UP


def test_an_event_beats_the_probes():
    stage = Stage("ssh", "backup")
    number = stage.up("ssh")
    acts = stage.failed(number, Fault.DIED)
    assert [act.provider for act in acts if isinstance(act, Ask)] == ["backup"], "what died is not the first to be asked"
    stage.up("backup")
    assert stage.line.generation == 2


def test_a_provider_that_is_the_only_one_is_asked_again_at_once_and_then_later_each_time():
    stage = Stage("ssh")
    acts = stage.failed(stage.up("ssh"), Fault.DIED)
    assert [type(act) for act in acts] == [Drop, Ask]
    acts = stage.failed(stage.asked("ssh"), Fault.DIED)
    assert [type(act) for act in acts] == [Drop]
    assert stage.line.state is TunnelState.WAITING
    assert [act for act in stage.later(1.9) if isinstance(act, Ask)] == []
    assert [act for act in stage.later(0.2) if isinstance(act, Ask)]


@pytest.mark.parametrize("fault", [fault for fault in Fault if fault.lasting])
def test_what_only_a_person_can_mend_is_not_tried_again(fault):
    stage = Stage("ngrok")
    stage.failed(stage.asked("ngrok"), fault)
    assert stage.line.state is TunnelState.EXHAUSTED
    assert [act for act in stage.later(3600) if isinstance(act, Ask)] == []


def test_a_limit_is_waited_for_as_long_as_it_says():
    stage = Stage("ngrok")
    stage.failed(stage.asked("ngrok"), Fault.LIMITED, after=42)
    assert [act for act in stage.later(41.9) if isinstance(act, Ask)] == []
    assert [act for act in stage.later(0.2) if isinstance(act, Ask)]


def test_a_provider_that_prints_nothing_is_given_up_at_its_deadline():
    stage = Stage("silent", "ssh", deadline=3)
    assert [act for act in stage.later(2.9) if isinstance(act, Ask)] == []
    stage.later(0.2)
    assert stage.line.trying.provider == "ssh"
    assert stage.line.out["silent"].fault is Fault.DEADLINE


def test_an_address_where_another_app_answers_is_never_announced():
    stage = Stage("reused", "ssh", deadline=3)
    number = stage.asked("reused")
    stage.tell(Given(number=number, url="https://reused.example", every=1))
    for _ in range(12):
        stage.missed(number, Fault.WRONG_APP)
        stage.later(0.26)
    assert stage.addresses == []
    assert stage.line.out["reused"].fault is Fault.WRONG_APP
    assert "was not proved within 3 s" in stage.line.out["reused"].text


def test_an_app_that_is_down_is_no_reason_to_change_the_address():
    stage = Stage("ssh", "backup")
    stage.up("ssh")
    assert [act for act in stage.tell(App(up=False)) if isinstance(act, Ask)] == []
    assert stage.line.state is TunnelState.APP_DOWN
    stage.tell(App(up=True))
    assert (stage.line.state, stage.line.generation) == (TunnelState.UP, 1)


def test_when_nothing_can_be_reached_it_is_the_network_and_nobody_is_put_off_for_long():
    stage = Stage("ssh", "backup")
    stage.failed(stage.up("ssh"), Fault.NETWORK)
    for _ in range(20):
        if stage.line.trying is not None:
            stage.failed(stage.line.trying.number, Fault.NETWORK)
        stage.later(5)
    assert stage.line.state is TunnelState.NETWORK_DOWN
    assert all(one.again - stage.now <= timedelta(seconds=5) for one in stage.line.out.values())


def _beside(stage, number, seconds):
    """The one that serves answers all the time."""
    for _ in range(int(seconds)):
        stage.later(1)
        stage.tell(Answered(number=number, asked=stage.now, latency=0.01))


def test_the_preferred_provider_comes_back_after_a_minute_of_being_well_and_not_before_ten():
    stage = Stage("ssh", "backup")
    stage.failed(stage.up("ssh"), Fault.DIED)
    second = stage.up("backup")
    _beside(stage, second, 599)
    assert stage.line.trying is None, "it may return once in ten minutes"
    _beside(stage, second, 2)
    first = stage.asked("ssh")
    stage.tell(Given(number=first, url="https://ssh.example", every=1))
    for _ in range(59):
        stage.tell(Answered(number=first, asked=stage.now, latency=0.01))
        _beside(stage, second, 1)
    assert stage.line.serving.provider == "backup"
    _beside(stage, second, 2)
    stage.tell(Answered(number=first, asked=stage.now, latency=0.01))
    assert (stage.line.serving.provider, stage.line.generation) == ("ssh", 3)


def test_what_is_declared_dead_is_not_probed_any_more():
    stage = Stage("ssh", "backup")
    number = stage.up("ssh")
    stage.missed(number)
    stage.missed(number)
    assert [act for act in stage.later(10) if isinstance(act, Prove) and act.number == number] == []


def test_what_can_bear_few_probes_is_asked_rarely_and_at_once_when_it_is_suspect():
    stage = Stage("ngrok")
    number = stage.up("ngrok", every=300)
    assert [act for act in stage.later(299) if isinstance(act, Prove)] == []
    stage.later(2)
    stage.missed(number)
    assert [act for act in stage.later(1) if isinstance(act, Prove)]
    assert all(act.patience == tunnel.PATIENT for act in stage.acts if isinstance(act, Prove) and act.number == number and stage.line.numbers == 1)


def test_a_line_that_is_slow_is_given_the_time_it_takes():
    stage = Stage("far")
    number = stage.asked("far")
    stage.tell(Given(number=number, url="https://far.example", every=1))
    for _ in range(tunnel.SLOW_AFTER):
        stage.missed(number)
        stage.later(0.3)
    assert stage.later(1.1)[-1].patience == tunnel.PATIENT
    stage.tell(Answered(number=number, asked=stage.now, latency=0.8))
    assert stage.later(1.1)[-1].patience == 4.0


def test_somebody_who_asks_is_answered_now():
    stage = Stage("ngrok")
    number = stage.up("ngrok", every=300)
    assert [act.number for act in stage.tell(Look()) if isinstance(act, Prove)] == [number]


def test_its_time_is_over():
    stage = Stage("ssh", ttl=60)
    number = stage.up("ssh")
    for _ in range(61):
        stage.tell(Answered(number=number, asked=stage.now, latency=0.01))
        stage.later(1)
    assert (stage.line.state, stage.line.over, stage.addresses[-1]) == (TunnelState.OFF, True, "")
    assert stage.later(100) == []


EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["given", "failed", "answered", "missed", "app", "tick", "look"]),
        st.integers(0, 3),
        st.sampled_from(list(Fault)),
        st.floats(0, 400),
        st.sampled_from([1.0, 60.0, 300.0]),
    ),
    max_size=60,
)


@settings(max_examples=400, deadline=None)
@given(EVENTS)
def test_whatever_happens_no_address_is_given_that_was_not_proved_and_none_is_left_open(events):
    stage = Stage("a", "b", "c")
    proved, opened, dropped = set(), {act.number for act in stage.acts if isinstance(act, Ask)}, set()
    for kind, back, fault, passed, every in events:
        stage.now += timedelta(seconds=passed)
        number = max(1, stage.line.numbers - back)
        before = len(stage.acts)
        if kind == "given":
            stage.tell(Given(number=number, url=f"https://{number}.example", every=every))
        elif kind == "failed":
            stage.failed(number, fault)
        elif kind == "answered":
            proved.add(number)
            stage.tell(Answered(number=number, asked=stage.now, latency=0.01))
        elif kind == "missed":
            strikes = stage.line.serving.strikes if stage.line.serving else 0
            serving = stage.line.serving
            stage.missed(number, fault)
            if serving is not None and stage.line.serving is not serving and stage.line.serving is None:
                assert strikes >= 1, "one probe ended it"
        else:
            stage.tell({"app": App(up=bool(back % 2)), "tick": Tick(), "look": Look()}[kind])
        for act in stage.acts[before:]:
            if isinstance(act, Ask):
                opened.add(act.number)
            elif isinstance(act, Drop):
                assert act.number in opened - dropped, "dropped twice, or never opened"
                dropped.add(act.number)
            elif isinstance(act, Announce):
                assert int(act.url.partition("//")[2].partition(".")[0]) in proved
            else:
                assert act.number in opened - dropped, "probed although it is dead"
        alive = {one.number for one in (stage.line.serving, stage.line.trying) if one is not None}
        assert opened - dropped == alive
        assert stage.line.generation == len(stage.addresses)
        before = len(stage.acts)
        stage.tell(Tick())
        if len(stage.acts) == before:
            assert tunnel.deadline(stage.line, stage.now) > stage.now, "it would turn without end"
        else:
            stage.acts, opened = stage.acts[:before], opened | {act.number for act in stage.acts[before:] if isinstance(act, Ask)}
            dropped |= {act.number for act in stage.acts[before:] if isinstance(act, Drop)}

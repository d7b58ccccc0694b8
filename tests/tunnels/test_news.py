"""What is told of followers: what a person would want to read, and no renewals."""

from __future__ import annotations

import pytest

from qcity_nb.engine.tunnels import _is_news
from qcity_nb.model.tunnel import Binding, Followed, Pointer
from qcity_nb.store.tunnels import FollowerRow

FILES, POINTER = Binding(root="/x", patterns=("*.md",)), Pointer(kind="rfc2136", name="a.example.org")
WELL, FAILED = Followed(ok=True, text="it is there", generation=3, changed=1), Followed(ok=False, text="refused", generation=3)


@pytest.mark.parametrize(
    ("follower", "last", "what", "news"),
    [
        (POINTER, None, WELL, True),
        (POINTER, WELL, WELL, False),
        (POINTER, WELL, Followed(ok=True, text="it is there, until later", generation=4, changed=1), True),
        (POINTER, WELL, FAILED, True),
        (POINTER, FAILED, FAILED, False),
        (POINTER, FAILED, WELL, True),
        (FILES, WELL, WELL, True),
        (FILES, None, Followed(ok=True, text="all links are right", generation=3), False),
        (FILES, FAILED, FAILED, False),
    ],
)
def test_a_renewal_and_the_same_failure_again_are_no_news(follower, last, what, news):
    assert _is_news(FollowerRow(tunnel="app", key="k", follower=follower, last=last, at=None), what) is news

"""The pages as HTML: the board with its static copy for where no script runs, and signing in.

No style and no script stands in them, so that their policy can forbid both; the copy's own styles become classes of one sheet that a nonce lets in.
"""

from __future__ import annotations

import re

from ..client.tables import escape
from ..decide import roles
from .sessions import Session

_STYLE = re.compile(r' style="([^"]*)"')
HEAD = (
    '<!doctype html><html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">'
    '<meta name="color-scheme" content="light dark"><link rel="icon" href="static/icon.svg"><link rel="stylesheet" href="static/page.css">'
)
DENIED = "That link is used up, over or revoked. Ask for another one: qcity serve link prints it."


def board(session: Session, *, copy: str, nonce: str) -> str:
    """The page of who is signed in.

    Args:
        copy: the static copy of now, as HTML of ours.
        nonce: lets the copy's sheet in.
    """
    sheet, copy = classed(copy)
    who = f"{session.role.value}, {session.name}"
    data = {"actor": session.actor, "csrf": session.csrf, "may": " ".join(roles.allowed(session.role))}
    given = " ".join(f'data-{name}="{escape(value)}"' for name, value in data.items())
    out = (
        f'<form method="post" action="logout"><input type="hidden" name="csrf" value="{escape(session.csrf)}"><button>Sign out</button></form>'
        if session.until is not None
        else ""
    )
    return (
        f'{HEAD}<title>QCity</title><link rel="stylesheet" href="static/board.css">'
        f'<noscript><meta http-equiv="refresh" content="30"><style nonce="{nonce}">{sheet}</style></noscript>'
        f'<script type="module" src="static/page.js"></script></head><body>'
        f'<main id="board" {given}></main>'
        f'<noscript><div class="copy">{copy}<p class="soft">A copy, loaded again every 30 seconds. With scripts it is live.</p></div></noscript>'
        f'<footer class="who"><span>Signed in as {escape(who)}</span>{out}</footer></body></html>'
    )


def login(said: str = "") -> str:
    """The page of who is not signed in.

    Args:
        said: why he is not let in.
    """
    return (
        f'{HEAD}<title>Sign in to QCity</title><script type="module" src="static/login.js"></script></head><body><main class="login">'
        f"<h1>QCity</h1><p>This page needs a link. <code>qcity serve link</code> prints one, on the machine that serves it.</p>"
        f'<p id="said" role="alert"{"" if said else " hidden"}>{escape(said)}</p>'
        f'<form method="post" action="login"><label for="token">Or paste what stands behind the # of your link</label>'
        f'<input id="token" name="token" type="password" autocomplete="off" spellcheck="false" required>'
        f"<button>Sign in</button></form></main></body></html>"
    )


def classed(html: str) -> tuple[str, str]:
    """A sheet, and the HTML with a class where each style was. The HTML has to be ours: text from outside holds no quotes once it is escaped."""
    known: dict[str, str] = {}
    changed = _STYLE.sub(lambda found: f' class="{known.setdefault(found[1], f"s{len(known)}")}"', html)
    return "".join(f".{name}{{{style}}}" for style, name in known.items()), changed

"""Deciding: facts and `now` in, new state and intents out. Nothing here reads a clock, a file or a socket, and nothing acts."""

"""Platforms are asked how they are: each in a thread of its own and for a bounded time, so that no tick waits for one of them."""

"""The library face: read facts from the store, send commands through it, wait for what comes of them. Strangers to the engine's code."""

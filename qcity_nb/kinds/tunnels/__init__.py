"""Tunnels: the door in front of the app, the providers that lead to it, and the pilot, the one process of each tunnel."""

"""Runners of forges: their official agents, opened by us, supervised like any service, and looked after by one attendant."""

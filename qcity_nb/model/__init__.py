"""Frozen data that passes between the floors: no behaviour beyond what the values themselves say, no I/O, no clock."""

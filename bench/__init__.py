"""Timing of the suite beside its peers and beside what the machine can do at all; see __main__.py."""

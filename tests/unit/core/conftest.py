"""Drawn cases are not timed: the machine these run on is often busy with real gateways."""

from __future__ import annotations

from hypothesis import settings

settings.register_profile("unhurried", deadline=None)
settings.load_profile("unhurried")

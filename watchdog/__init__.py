"""The OpenClaw session watchdog."""

__version__ = "0.1.0"

"""Restarting a gateway itself: off unless the operator has named its supervisor.

``decision`` says whether it may be now, ``restarter`` does it and finds out whether it helped, ``supervisors`` speak to
systemd, launchd or a command, ``restarts`` puts it into the daemon.
"""

"""Speaks OpenClaw: ``client`` is all of it behind one port (``service.ports.Gateway``).

``wire`` is one connection, ``sessions`` what is read over it, ``recovery`` what is done over it; ``capabilities`` holds
every difference between versions that is a fact.
"""

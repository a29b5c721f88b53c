"""Do the simulator and real gateways answer alike? ``make conformance``.

The scenarios and what a gateway under test must offer are in ``tests.unit.openclaw_simulator``; the hermetic suite
compares the simulator with what was measured once. Here they are run again, on real gateways, and compared with the
simulator of today.
"""

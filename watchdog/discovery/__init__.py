"""Which gateways this machine has: profiles, lock files, fleet cells. Reads only, and nothing that another account owns.

``profiles`` finds them, ``found`` is what is found, ``machine`` asks this machine, ``local_gateways`` follows it.
"""

"""Which gateways this machine has: profiles, lock files, fleet cells; and those that a list names. Reads only, and nothing that
another account owns.

``profiles`` finds them, ``found`` is what is found, ``machine`` asks this machine, ``local_gateways`` follows it,
``target_lists`` follows a list, ``every_gateway`` is all of them.
"""

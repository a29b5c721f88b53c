"""Composition: builds adapters from the configuration and runs the watches. The only place that knows every part.

``assembly`` builds, ``endpoints`` finds gateways, ``runner`` rings the bell for one gateway, ``loop`` is the daemon.
"""

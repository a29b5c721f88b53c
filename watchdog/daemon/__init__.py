"""Composition: builds adapters from the configuration and runs the watches. The only place that knows every part.

``assembly`` builds, ``endpoints`` finds gateways, ``runner`` passes over one gateway again and again, ``loop`` is the daemon.
"""

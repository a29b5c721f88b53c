"""The corpus of real incidents: what gateways said, poll by poll, and what a watchdog must decide.

One YAML file per failure class (``t01`` to ``t12``) and per false-positive class (``fp_*``). ``cases`` reads them,
``wire`` knows how each gateway version writes rows and transcripts, ``script`` plays a gateway and the clocks, ``player``
runs the real watch through a case and compares. ``python -m tests.incidents`` prints the scoreboard.
"""

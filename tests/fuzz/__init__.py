"""Broken answers and clocks through the real client, judgement and decisions: ``make fuzz``.

What is broken is *malformed*: wrong types, missing fields, nonsense numbers, torn frames. A well-formed lie ("no run is
active" of a live one) is another matter: the simulator's worlds lie as each version does.
"""

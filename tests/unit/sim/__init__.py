"""The simulation of ``make sim`` itself: its time, its lives, its judge."""

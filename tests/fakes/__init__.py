"""What stands in for the outside world in tests: one fake for each port, which every test sets as it needs it."""

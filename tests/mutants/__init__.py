"""Mutation tests of the guards: each is taken out in turn, and the suite must notice (``make mutants``)."""

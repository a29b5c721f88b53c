"""Delivery of what the outbox owes to people, and the sign of life to an outside monitor."""

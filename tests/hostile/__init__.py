"""Gateways that mean harm, or are broken beyond belief, beside a healthy one: ``make hostile``."""

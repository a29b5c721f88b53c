"""What the daemon knows right now: one document (``model``, ``document``), its page (``server``) and figures."""

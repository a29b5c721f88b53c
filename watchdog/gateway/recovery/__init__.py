"""How a step is done on a gateway: which requests, with which scopes, sent once, and what became of the answer."""

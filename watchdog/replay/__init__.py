"""Recording and ``replay``: what each pass saw, and the same passes under another configuration.

``recorded_gateway`` stands between a watch and its client and notes what every call answered; ``recorder`` puts a pass
together and writes what differs from the pass before (``lines``, ``codec``), so that a quiet gateway costs one short
line a pass; ``recordings`` is where the lines go. No person's words, no token, no address of a person is ever in a
line, and what keeps the recording from being written is said once and never reaches the pass.

A replay asks nothing of any network and does nothing: ``reader`` turns lines back into ``passes``,
``gateway.ReplayedGateway`` answers a watch with them, ``player`` lets a real ``service.watch.Watch`` pass over them on
the recorded clock with a ledger in memory, and ``story`` puts what it would have done beside what was done.

The limit of every replay: a deed changes the world, and a recording has only the world that was. Per session:

- A would-be deed that was done in the same pass at the time too: the recording *is* what followed. Nothing is assumed.
- A would-be deed that was not done then is **assumed to have helped**: the session counts as recovered until the
  recording shows another run of it; from there on the recording is followed again.
- A deed that was done then and would not be done now: the session is **held as it was** before that deed, as stuck
  sessions do not move by themselves, until this configuration acts, too, or the session is gone.
"""

"""``replay``: a recording, played through the real judging, policies and planning under another configuration.

Nothing is asked of any network and nothing is done: ``reading`` turns lines back into ``passes``, ``gateway.ReplayedGateway``
answers a watch with them, ``player`` lets a real ``service.watch.Watch`` pass over them on the recorded clock with a
ledger in memory, and ``story`` puts what it would have done beside what was done.

The limit of every replay: a deed changes the world, and a recording has only the world that was. Per session:

- A would-be deed that was done in the same pass at the time too: the recording *is* what followed. Nothing is assumed.
- A would-be deed that was not done then is **assumed to have helped**: the session counts as recovered until the
  recording shows another run of it; from there on the recording is followed again.
- A deed that was done then and would not be done now: the session is **held as it was** before that deed, as stuck
  sessions do not move by themselves, until this configuration acts, too, or the session is gone.
"""

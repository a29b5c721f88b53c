"""What each pass saw, kept as lines of JSON, so that another configuration can be tried on it (``replay``).

The seam is the ``Gateway`` port: ``recorded.RecordedGateway`` stands between a watch and its client and notes what every
call answered; ``recorder.Recorder`` puts a pass together and writes what differs from the pass before (``lines``), so
that a quiet gateway costs one short line a pass. ``codec`` turns values into plain data and back. Where the lines go is a
``Tape`` (``adapters.recording_file``); who reads them is ``watchdog.replay``.

Invariants: no person's words, no token, no address of a person is ever in a line; what keeps the recording from being
written, a defect of its own included, is told once and never reaches the pass.
"""

"""Discovery, credentials and identity: OpenClaw's files on one side, our own key on the other."""

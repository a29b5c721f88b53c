"""What a gateway says of its sessions: rows, pages of rows, polls, and a closer look at one session."""

"""One connection to one gateway: dialled, signed in, requests matched to answers, refusals as typed errors."""

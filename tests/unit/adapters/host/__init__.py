"""The host adapter on real files and real processes."""

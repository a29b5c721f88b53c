"""The image, built and run with podman, beside a real gateway in another container: ``make container``."""

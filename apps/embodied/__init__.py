"""Questions about what a robot sees."""

"""Measurements of speed and memory against the same network without a hypernetwork; each file named so is a command."""

"""Measurements, each beside a limit or a peer taken in the same run."""

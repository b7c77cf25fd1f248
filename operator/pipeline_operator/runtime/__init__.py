"""The operator's process: what it watches, its tick, what it writes."""

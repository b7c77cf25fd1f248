"""Where domains, their recorded values and the newest snapshot are kept: one protocol, several engines."""

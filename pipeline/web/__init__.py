"""The live page: its static files, and what is shown of a pipeline at one moment, as pure data."""

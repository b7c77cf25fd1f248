"""Configuration: frozen, typed, every key from file, environment or command line, all faults at once."""

from pipeline.config.load import environment_name, environment_names, load, resolve
from pipeline.config.schema import Config, json_schema

__all__ = ["Config", "environment_name", "environment_names", "json_schema", "load", "resolve"]

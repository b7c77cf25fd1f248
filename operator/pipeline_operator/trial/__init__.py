"""Trials against a real API server, with stand-ins for pods and collectors: for `bench` and for tests."""

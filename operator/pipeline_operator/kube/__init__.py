"""The API server as the operator sees it: a client with back-off, /scale, status, Events, the Lease."""

"""What the pods' collectors say: a client for each, by stream, else by polling."""

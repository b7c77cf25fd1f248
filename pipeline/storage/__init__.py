"""What outlives a process: the gateway's journal, the audit store, a worker's note of what is in hand."""

"""From what one worker was measured to do, to what a load takes: workers, cores, memory, storage, latency."""

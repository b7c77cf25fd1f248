"""What books are worth, over HTTP (docs/valuation.md). It only reads the pipeline: nothing waits for it."""

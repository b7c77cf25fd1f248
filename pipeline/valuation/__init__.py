"""What books are worth: marks, pricing models, their agreement, net asset value. Pure: no clock, no I/O."""

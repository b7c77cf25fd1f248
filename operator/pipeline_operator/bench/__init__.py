"""What the operator's own work costs."""

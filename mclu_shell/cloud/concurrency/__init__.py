"""The same call on many items at once, with deadlines and cancellation."""

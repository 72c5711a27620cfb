"""The gate of a connection as a state machine: when its next request may start. Times are monotonic nanoseconds."""

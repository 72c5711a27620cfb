"""Stand-ins: services that steps call, as small and as real as a test needs them."""

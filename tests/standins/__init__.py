"""Stand-ins for the services that steps call, as small and as realistic as a test needs them."""

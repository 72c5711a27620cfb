"""The HTTP client that every connector shares: connections, requests, responses, and where they may go."""

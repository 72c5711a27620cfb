"""The HTTP client that connectors share: connections, requests, responses, and the egress guard."""

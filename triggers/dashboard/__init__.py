"""The dashboard: pages that show what the API shows, and act by the API's operations."""

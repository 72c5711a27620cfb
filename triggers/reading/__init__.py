"""How commands read: from the running service over its API, or from the instance's own files where none runs."""

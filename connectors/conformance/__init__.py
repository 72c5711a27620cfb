"""The conformance suite: checks a connector against a stub of its service, which also behaves badly."""

"""The conformance suite: tries a connector against a stub that plays its service, well and badly."""

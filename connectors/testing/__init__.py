"""Tools for the tests of connectors, which authors import from `waypost.testing`."""

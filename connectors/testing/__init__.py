"""What the tests of connectors use; `waypost.testing` offers it to authors."""

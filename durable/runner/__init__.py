"""The embedded engine: it takes runs in, carries facts to the core, appends what is decided and carries that out."""

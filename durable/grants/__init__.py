"""The grants of connections: kept in the encrypted store, and renewed once for all who need them."""

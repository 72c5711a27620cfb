"""SQLite: the database, its files, and the data folder that holds them."""

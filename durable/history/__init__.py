"""The history of a run: its entries, and the state computed from them."""

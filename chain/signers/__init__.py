"""Who signs for the exchange: an interface, and the keys that other machines keep."""

"""Markets outside the exchange: one driver a venue behind one protocol, and local venues to develop against."""

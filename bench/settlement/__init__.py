"""Settlement batches on the whole network."""

"""PostgreSQL: projections of the journal, the double-entry ledger, settlement batches. All SQL of the product is below this folder."""

"""Venues on this machine that speak the real ones' protocols: they check the real signatures and keep a book of their own."""

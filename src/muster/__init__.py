"""Muster provisions clusters: it turns bare machines into running nodes over the network."""

__version__ = "0.1.0"

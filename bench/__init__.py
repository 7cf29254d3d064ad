"""Figures of the first road: how long one boot takes and where, what a ready node holds, what the segments carry."""

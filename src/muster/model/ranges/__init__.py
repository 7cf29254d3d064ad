"""The language of node ranges (DESIGN section 7): parsed, evaluated, folded. Pure, and light enough for the CLI.

Whoever evaluates hands in the names, groups and labels (`evaluate.Cluster`); whoever has files reads them
(`inline.inlined`). `muster.model.noderange` speaks this language over stored objects.
"""

"""Subgraphs for TensorRT: the form that a version needs, its rules, and a parser that runs here."""

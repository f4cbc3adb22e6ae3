"""Turns a checkpoint into a bundle of ONNX subgraphs and proves that they agree."""

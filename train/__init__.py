"""From demonstrations to weights: examples, batches, the training run and its curves."""

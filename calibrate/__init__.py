"""From recordings to quantized bundles: data, observers, plans, and whether they act the same."""

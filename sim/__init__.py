"""Stand-ins for hardware that ship with the product: a virtual servo bus and cameras."""

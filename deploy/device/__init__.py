"""What runs on a device while it is flashed, with nothing but its own Python (3.8 or later).

The folder goes there as one zip file over the connection; it imports the standard library only.
"""

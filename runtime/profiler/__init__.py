"""Where the time of a step goes, and what the least is that it can take."""

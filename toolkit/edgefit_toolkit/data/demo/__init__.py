"""Plants drawn by our own code, for the embedded demo set. Pillow and numpy only."""

"""The networks: how they scale, how they are built, where their weights come from. Scaling needs no torch."""

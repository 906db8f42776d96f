"""How long a network takes on a device that is not here."""

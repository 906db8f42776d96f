"""What is looked at in every picture before it is used, and what is kept of that."""

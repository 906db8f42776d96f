"""What reading pictures costs as they grow in number."""

"""What is measured on: this host, phones, boards."""

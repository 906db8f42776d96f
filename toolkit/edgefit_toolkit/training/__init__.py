"""Fine-tuning a network on photographs."""

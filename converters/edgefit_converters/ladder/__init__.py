"""From plain int8 to int8 that keeps the float model's answers, step by step."""

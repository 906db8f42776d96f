"""What a training sees: pictures under views, features computed once, batches."""

"""The directory of a run: which one it gets, its manifest, and which stages need not run again."""

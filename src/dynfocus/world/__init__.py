"""The mini world: films with known ground truth, questions about them, and their export as data sets."""

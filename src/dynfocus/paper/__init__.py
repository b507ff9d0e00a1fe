"""What the paper prints: every cell and claim as a row, where its sources disagree, and checks of its arithmetic."""

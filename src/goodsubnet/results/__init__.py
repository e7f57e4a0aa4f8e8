"""What follows from the measurements: tables, answers, comparisons, the paper's own numbers."""

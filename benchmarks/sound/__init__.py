"""What the delivered files measure: the Sound table, row by row."""

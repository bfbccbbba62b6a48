"""A report of a model on a test set: numbers, a page, and several reports side by side."""

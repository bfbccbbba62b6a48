"""Speed, measured against a reference in the same run."""

"""People's own labelled photos: reading, splitting, checking; files only, no model."""

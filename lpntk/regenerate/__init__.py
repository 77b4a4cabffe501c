"""Every notebook run again by papermill, at a profile."""

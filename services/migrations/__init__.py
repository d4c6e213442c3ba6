"""The schema's history: revisions only go forward, and the running version survives each."""

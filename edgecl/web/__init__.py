"""The page of the running app, for a person with a phone and for machines. Needs the extra `camera`; imports no torch."""

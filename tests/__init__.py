"""A package of its own: some libraries install one of the same name, which would be taken for it where this is a mere folder."""

"""The page a person reads about one version: what it learned, what it forgot, what it confuses, and how sure of that one can be.

It is made on demand from the version and is no part of it: whatever it shows is in the store anyway, so that every version can be read
about, also one that is older than this page, and nothing has to be hunted for when pictures are purged. The price is that every version
in the matrix is asked anew about the held-out pictures.
"""

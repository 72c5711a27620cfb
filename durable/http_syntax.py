"""HTTP's grammar, as far as several modules need it (RFC 9110, 5.6.2)."""

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""A method, the name of a header, or one half of a media type."""

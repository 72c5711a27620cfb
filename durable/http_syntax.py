"""HTTP's grammar, as far as several modules need it (RFC 9110, 5.6.2)."""

import re

TOKEN = r"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
"""A method, the name of a header, or one half of a media type."""

HEADER_NAME = re.compile(TOKEN)

"""What all pages share: the environment of their templates, their style sheet, scripts and highlighting."""

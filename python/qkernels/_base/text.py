"""Texts of strangers, such as names in files, made safe to show."""


def escape(text: str) -> str:
    """A text with characters that steer a terminal, or that no encoding has, by their codes."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)

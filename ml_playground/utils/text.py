"""Numbers as a person reads them."""


def duration(seconds: float) -> str:
    """A time such as "41 s", "3 min 20 s" or "2 h 5 min"."""
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes} min"
    return f"{minutes} min {seconds} s" if minutes else f"{seconds} s"

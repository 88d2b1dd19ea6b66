"""The lines of a stream that comes in pieces, cut anywhere."""


class Lines:
    """Puts the pieces of a line together. Holds no more than the line that is not ended yet."""

    def __init__(self) -> None:
        self._parts: list[bytes] = []

    def feed(self, data: bytes) -> list[str]:
        """The lines that *data* ends, decoded with replacement."""
        first, *others = data.split(b"\n")
        self._parts.append(first)
        if not others:
            return []
        ended = [b"".join(self._parts), *others[:-1]]
        self._parts = [others[-1]]
        return [line.decode("utf-8", "replace") for line in ended]

    def finish(self) -> str:
        """The line that nothing ended; empty if there is none."""
        rest, self._parts = b"".join(self._parts), []
        return rest.decode("utf-8", "replace")

"""What ends a session with a server, or makes it list its tools again."""

import asyncio


class SessionSignals:
    """Wakes the task that owns a session. `is_over`: the session has ended or has to end."""

    def __init__(self) -> None:
        self.is_over = False
        self._has_changed = False
        self._woken = asyncio.Event()

    def end(self) -> None:
        """End the session, or take note that the server has ended it."""
        self.is_over = True
        self._woken.set()

    def note_change(self) -> None:
        """Let the tools be listed again."""
        self._has_changed = True
        self._woken.set()

    async def wait_for_change(self) -> bool:
        """Wait until the tools have to be listed again; returns False when the session is over."""
        while not self.is_over:
            await self._woken.wait()
            self._woken.clear()
            if self._has_changed and not self.is_over:
                self._has_changed = False
                return True
        return False

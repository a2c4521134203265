"""What a venue may leave open. What it refuses is a value: see `venues.driver.Refused`."""

from typing import Final

from core.printable import printable
from core.quantities import Nanos


class VenueError(Exception):
    """Base of this package's errors; `venue` is who did not answer."""

    def __init__(self, venue: str, what: str) -> None:
        super().__init__(f"{venue}: {printable(what)}")
        self.venue = venue


class Unknown(VenueError):
    """The reply is lost, so the order may or may not be there, or may still be on its way.

    Ask `order(client_id)` before submitting again, and believe a None only after `until`: from then on the venue does not take
    the lost one any more. `until` is None where the venue has no such promise.
    """

    def __init__(self, venue: str, what: str, until: Nanos | None = None) -> None:
        super().__init__(venue, what)
        self.until = until


class Unavailable(VenueError):
    """The venue could not be asked, or answered with something that is not its protocol. Nothing was changed by asking."""


class NotAsked(Unavailable):
    """Nobody was asked: what the venue allows for now is kept for orders. That says nothing of the venue."""


class AccountMissing(VenueError):
    """The account is not set up here, or its key must not be used: nobody was asked anything. The process's log says what to do."""


OTHER_ACCOUNT: Final = "the account there is another one than the vault has"


class Reading:
    """Takes what is in an answer: one that is not as documented is as good as none, so it raises `Unavailable`."""

    def __init__(self, venue: str) -> None:
        self._venue = venue

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: object) -> None:
        if isinstance(error, KeyError | TypeError | ValueError | AttributeError | IndexError):
            raise Unavailable(self._venue, f"not the venue's protocol: {error!r}") from error

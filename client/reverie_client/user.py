"""One user's memories."""

from reverie_client.reads import Reads
from reverie_client.writes import Writes


class User(Writes, Reads):
    """Everything an application does with one user's memories. Costs nothing to make; keep it or not."""

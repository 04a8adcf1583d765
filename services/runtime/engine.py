"""How gRPC waits for its sockets, in each of our processes."""

ENVIRONMENT = {"GRPC_EXPERIMENTS": "-event_engine_client,-event_engine_listener"}
"""For the environment of a process before it loads gRPC: who takes events waits for them.

gRPC's own choice, the event engine, hands each one on from a thread of a pool, which nearly doubles the
changes of threads in a call (docs/decisions/0007-who-waits-for-sockets.md). A version that does not know
these names any more says so on stderr and makes its own choice.
"""

"""A topology for tests, of the real catalog's services in some zones."""

from pathlib import Path

from mesh.topology import Edge, Instance, Topology
from services.catalog import SERVICES


def topology(zones: str = "a") -> Topology:
    """One instance of each service and one edge in each zone; workers without a port."""
    rows = [(row, zone) for zone in zones for row in SERVICES]
    instances = [
        instance(row.name, zone, 10_000 + number if row.apis else 0)
        for number, (row, zone) in enumerate(rows)
    ]
    edges = [
        Edge(
            id=f"edge-{zone}-0",
            zone=zone,
            address="127.0.0.1",
            public_port=20_000 + 2 * number,
            operator_port=20_001 + 2 * number,
            admin_socket=Path(f"/run/edge-{zone}-0/admin.sock"),
            certificate=Path("/pki/edge.pem"),
            key=Path("/pki/edge.key"),
        )
        for number, zone in enumerate(zones)
    ]
    return Topology(tuple(instances), tuple(edges), Path("/pki/ca.pem"), Path("/secrets/jwks.json"))


def instance(service: str, zone: str, port: int, ordinal: int = 0) -> Instance:
    node = f"{service}-{zone}-{ordinal}"
    return Instance(
        id=node,
        service=service,
        zone=zone,
        address="127.0.0.1",
        port=port,
        app_socket=Path(f"/run/{node}/app.sock"),
        egress_socket=Path(f"/run/{node}/egress.sock"),
        admin_socket=Path(f"/run/{node}/admin.sock"),
        certificate=Path(f"/pki/{service}.pem"),
        key=Path(f"/pki/{service}.key"),
    )

from typing import Any

from ops.drills.watch import usable_ports


def _host(port: int, **health: Any) -> dict[str, Any]:
    return {"address": {"socket_address": {"port_value": port}}, "health_status": health}


def test_a_proxy_sends_nothing_to_those_that_are_ill_or_ejected() -> None:
    hosts = [
        _host(1, eds_health_status="HEALTHY"),
        _host(2, eds_health_status="UNHEALTHY"),
        _host(3, eds_health_status="DRAINING"),
        _host(4, eds_health_status="HEALTHY", failed_outlier_check=True),
        _host(5),
    ]
    clusters = {"cluster_statuses": [{"host_statuses": hosts}, {"name": "empty"}]}
    assert [*usable_ports(clusters)] == [1, 5]

from typing import Any

from ops.local.status import AnalysisStatus, InstanceStatus, ProcessStatus, ServiceStatus, Status


def instance(**changed: Any) -> InstanceStatus:
    facts: dict[str, Any] = {
        "id": "query-a-0",
        "service": "query",
        "zone": "a",
        "healthy": True,
        "sidecar_in_sync": True,
        "pss_mib": 61.256,
        "pid": 7,
    }
    return InstanceStatus(**{**facts, **changed})


def status(**changed: Any) -> Status:
    facts: dict[str, Any] = {
        "home": "/home/ada/.reverie",
        "stage": "ready",
        "supervised": True,
        "instances": (instance(),),
        "processes": (ProcessStatus("postgres", healthy=True, pss_mib=80.0),),
        "services": {"query": ServiceStatus(150.0, 12.345, 1_000)},
        "analysis": AnalysisStatus(due=3, oldest_due_seconds=1.5, dead=0),
        "pss_mib": 500.04,
    }
    return Status(**{**facts, **changed})


def test_the_json_has_the_promised_shape() -> None:
    value = status().as_json()
    first = value["instances"][0]
    keys = ("service", "zone", "healthy", "sidecar_in_sync", "pss_mib")
    assert {key: first[key] for key in keys} == {
        "service": "query",
        "zone": "a",
        "healthy": True,
        "sidecar_in_sync": True,
        "pss_mib": 61.26,
    }
    assert value["services"] == {"query": {"objective_p95_ms": 150.0, "p95_ms": 12.35, "calls": 1_000}}
    assert value["pss_mib"] == 500.0
    assert value["analysis"] == {"due": 3, "oldest_due_seconds": 1.5, "dead": 0, "detail": ""}


def test_all_is_well_when_nothing_is_wrong() -> None:
    assert status().is_well
    assert not list(status().hints())


def test_each_trouble_says_where_to_look() -> None:
    sick = status(
        supervised=False,
        instances=(instance(sidecar_in_sync=False, detail="lds was refused"),),
        processes=(ProcessStatus("postgres", healthy=False, pss_mib=0.0, detail="does not run"),),
        analysis=AnalysisStatus(detail="UNAVAILABLE"),
    )
    supervisor, proxy, store, queue = sick.troubles()
    assert "`reverie down`" in supervisor
    assert proxy == "query-a-0: lds was refused; see `reverie logs query-a-0`"
    assert store == "postgres: does not run; see `reverie logs postgres`"
    assert "UNAVAILABLE" in queue
    assert not sick.is_well


def test_a_slow_service_and_dead_letters_are_hints_and_no_trouble() -> None:
    slow = status(
        services={"query": ServiceStatus(150.0, 200.0, 100)}, analysis=AnalysisStatus(0, None, dead=2)
    )
    dead, late = slow.hints()
    assert "reverie dlq list" in dead
    assert "95 % of 100 calls within 200 ms, not 150 ms" in late
    assert slow.is_well


def test_a_few_calls_that_came_cold_make_no_slow_service() -> None:
    assert not list(status(services={"query": ServiceStatus(150.0, 900.0, 99)}).hints())

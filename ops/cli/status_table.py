"""`reverie status` for people."""

from rich.console import Console
from rich.table import Table

from ops.local.status import AnalysisStatus, InstanceStatus, ProcessStatus, ServiceStatus, Status


def show(status: Status, console: Console | None = None) -> None:
    """Print what runs, how it is, and what to do about what is not well."""
    console = console or Console()
    console.print(_table(status))
    console.print(f"memory    {status.pss_mib:,.0f} MiB in all")
    console.print(f"analysis  {_analysis(status.analysis)}")
    for trouble in status.troubles():
        console.print(f"[bold red]trouble[/]   {trouble}", highlight=False)
    for hint in status.hints():
        console.print(f"[yellow]hint[/]      {hint}", highlight=False)
    if status.is_well:
        console.print(f"[green]all is well[/] in {status.home}", highlight=False)


def _table(status: Status) -> Table:
    table = Table(box=None, pad_edge=False, header_style="bold")
    for heading in ("instance", "health", "proxy"):
        table.add_column(heading, no_wrap=True)
    for heading in ("p95 / objective (calls)", "memory", "up", "restarts"):
        table.add_column(heading, justify="right", no_wrap=True)
    for instance in status.instances:
        table.add_row(*_instance(instance, status.services.get(instance.service)))
    for process in status.processes:
        table.add_row(*_process(process))
    return table


def _instance(instance: InstanceStatus, service: ServiceStatus | None) -> tuple[str, ...]:
    return (
        instance.id,
        _word(instance.healthy, "healthy", "sick"),
        _word(instance.sidecar_in_sync, "in sync", "not in sync"),
        _speed(service),
        *_numbers(instance),
    )


def _process(process: ProcessStatus) -> tuple[str, ...]:
    return (process.name, _word(process.healthy, "healthy", "sick"), "", "", *_numbers(process))


def _numbers(one: InstanceStatus | ProcessStatus) -> tuple[str, str, str]:
    return f"{one.pss_mib:,.0f} MiB", _age(one.uptime_seconds), str(one.restarts)


def _speed(service: ServiceStatus | None) -> str:
    if service is None:
        return ""
    measured = "-" if service.p95_ms is None else f"{service.p95_ms:,.1f}"
    return f"{measured} / {service.objective_p95_ms:,.0f} ms ({service.calls:,})"


def _analysis(analysis: AnalysisStatus) -> str:
    if analysis.due is None:
        return "not known"
    oldest = (
        "" if analysis.oldest_due_seconds is None else f", the oldest for {_age(analysis.oldest_due_seconds)}"
    )
    dead = f"; {analysis.dead:,} failed for good" if analysis.dead else ""
    return f"{analysis.due:,} due{oldest}{dead}" if analysis.due else f"nothing is due{dead}"


def _word(good: bool, yes: str, no: str) -> str:  # noqa: FBT001  (a switch between two words)
    return f"[green]{yes}[/]" if good else f"[bold red]{no}[/]"


def _age(seconds: float | None) -> str:
    if seconds is None:
        return "-"
    for size, unit in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"

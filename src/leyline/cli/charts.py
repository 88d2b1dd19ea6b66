"""The plots of a report, drawn by Bokeh, and the page that holds them and needs nothing else."""

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

from attrs import frozen

from leyline.cli.exits import CommandLineError
from leyline.limits import QuotaLevel
from leyline.usage.history import DailyCost, Latency
from leyline.usage.summary import FailureCount

if TYPE_CHECKING:
    from bokeh.plotting import figure as Figure  # noqa: N812  (a class with the name of a function)

_HEIGHT: Final = 300
_ROW: Final = 34
_LEVELS: Final = {QuotaLevel.WARNING: (80, "#e0a000"), QuotaLevel.CRITICAL: (95, "#d03030")}

_PAGE: Final = """\
{% block preamble %}
<meta http-equiv="Content-Security-Policy" content="default-src 'none'; \
script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data:; font-src data:">
<meta name="viewport" content="width=device-width, initial-scale=1">
<link rel="icon" href="data:,">
<style>
html body { font: 15px/1.5 system-ui, sans-serif; color: #222; margin: 0 auto; max-width: 1100px;
  padding: 1rem; height: auto; }
h1 { font-size: 1.6rem; margin: .5rem 0 0; } h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p { color: #666; margin: .3rem 0; } .table { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; }
th, td { padding: .3rem .6rem; text-align: right; border-bottom: 1px solid #ddd;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } tr:last-child td { font-weight: 600; }
</style>
{% endblock %}
{% block contents %}
<h1>{{ title | e }}</h1>
<p>{{ period | e }}</p>
<div class="table"><table>
<tr>{% for header in table[0] %}<th>{{ header | e }}</th>{% endfor %}</tr>
{% for row in table[1:] %}<tr>{% for cell in row %}<td>{{ cell | e }}</td>{% endfor %}</tr>
{% endfor %}</table></div>
{% for note in notes %}<p>{{ note | e }}</p>{% endfor %}
{% for section in sections %}
<h2>{{ section.title | e }}</h2>
{% if section.note %}<p>{{ section.note | e }}</p>{% endif %}
{% if section.drawn %}{{ embed(roots[section.name]) }}{% endif %}
{% endfor %}
{% endblock %}
"""


@frozen(kw_only=True)
class Section:
    """One plot of the page. note: What there is to say, or why nothing is drawn."""

    name: str
    title: str
    note: str = ""
    figure: "Figure | None" = None

    @property
    def drawn(self) -> bool:
        """Whether there is a plot."""
        return self.figure is not None


def require_bokeh() -> None:
    """Raise CommandLineError, which says what to install, where there is no Bokeh."""
    from importlib.util import find_spec

    if find_spec("bokeh") is None:
        raise CommandLineError(
            "the plots need Bokeh; install it with: pip install 'leyline-registry[report]'"
        )


def page(
    title: str,
    period: str,
    table: Sequence[Sequence[str]],
    notes: Sequence[str],
    sections: Sequence[Section],
) -> str:
    """One HTML page with everything in it; it asks nothing of any other place.

    table: A row of headers, rows, and one for all of them.
    """
    from bokeh.embed import file_html
    from bokeh.models import Spacer
    from bokeh.resources import INLINE

    figures: list[Any] = []
    for section in sections:
        if section.figure is not None:
            section.figure.name = section.name
            figures.append(section.figure)
    variables: dict[str, Any] = {
        "period": period,
        "table": table,
        "notes": notes,
        "sections": sections,
    }
    return file_html(
        figures or [Spacer()],  # a page needs something
        INLINE,
        title=title,
        template=_PAGE,
        template_variables=variables,
        suppress_callback_warning=True,
    )


def use_chart(moments: Sequence[float], shares: Mapping[str, Sequence[float]]) -> "Figure":
    """How full each limit was at the fullest moment of each bin. shares: By name; 1 is full."""
    from bokeh.models import HoverTool
    from bokeh.models.annotations import Span

    chart = _figure(None, x_axis_type="datetime", y_axis_label="% of the limit")
    for level, (height, colour) in _LEVELS.items():
        chart.add_layout(
            Span(location=height, dimension="width", line_color=colour, line_dash="dotted",
                 name=level.value)
        )  # fmt: skip
    times = [_milliseconds(moment) for moment in moments]
    for name, colour in zip(shares, _colours(len(shares)), strict=True):
        data = {
            "time": times,
            "use": [100 * s for s in (*shares[name], shares[name][-1])],
            "name": [name] * len(times),
        }
        chart.step(
            "time", "use", source=data, mode="after", line_width=2, color=colour,
            legend_label=name,
        )  # fmt: skip
    chart.add_tools(
        HoverTool(
            tooltips=[("limit", "@name"), ("used", "@use{0.0} %"), ("time", "@time{%F %H:%M}")],
            formatters={"@time": "datetime"},
        )
    )
    _finish(chart, legend=bool(shares))
    return chart


def latency_chart(latencies: Sequence[Latency]) -> "Figure":
    """A box for each service: half of its runs are in it, nine of ten between its whiskers."""
    from bokeh.models import HoverTool

    names = [latency.service for latency in reversed(latencies)]
    chart = _figure(names, height=90 + _ROW * len(names), x_axis_label="seconds", lying=True)
    data: dict[str, Any] = {
        "service": [latency.service for latency in latencies],
        "runs": [latency.runs for latency in latencies],
        **{
            part: [getattr(latency, part) for latency in latencies]
            for part in ("p05", "p25", "p50", "p75", "p95")
        },
    }
    chart.segment("p05", "service", "p95", "service", source=data, line_color="#666", line_width=2)
    box = chart.hbar(
        y="service", left="p25", right="p75", height=0.6, source=data, fill_color="#9ecae1",
        line_color="#3182bd",
    )  # fmt: skip
    chart.scatter("p50", "service", source=data, size=11, color="#08519c", marker="diamond")
    quantiles = [(part.replace("p0", "p"), f"@{part}{{0.00}} s") for part in list(data)[2:]]
    chart.add_tools(
        HoverTool(
            renderers=[box], tooltips=[("service", "@service"), ("runs", "@runs"), *quantiles]
        )
    )
    _finish(chart, legend=False)
    return chart


def failure_chart(failures: Sequence[FailureCount]) -> "Figure":
    """How often each kind of failure was seen, in the colours of the services."""
    kinds = Counter[str]()
    for failure in failures:
        kinds[_kind(failure)] += failure.count
    services = sorted({failure.service for failure in failures})
    counts = {(_kind(failure), failure.service): failure.count for failure in failures}
    rows = [kind for kind, _ in reversed(kinds.most_common())]
    chart = _figure(
        rows,
        height=110 + _ROW * len(rows),
        x_axis_label="times",
        lying=True,
        tooltips="$name: @$name",
    )
    data: dict[str, Any] = {
        "kind": rows,
        **{service: [counts.get((row, service), 0) for row in rows] for service in services},
    }
    chart.hbar_stack(
        services, y="kind", height=0.6, source=data, color=_colours(len(services)),
        legend_label=services,
    )  # fmt: skip
    _finish(chart, legend=True)
    return chart


def cost_chart(costs: Sequence[DailyCost]) -> "Figure":
    """US dollars a day, in the colours of the services; what is estimated is paler."""
    days = [f"{day}" for day in sorted({cost.day for cost in costs})]
    services = sorted({cost.service for cost in costs})
    chart = _figure(days, y_axis_label="US dollars", tooltips="$name: @$name{$0.0000}")
    data: dict[str, Any] = {"day": days}
    names: list[str] = []
    colours: list[str] = []
    alphas: list[float] = []
    by_key = {(f"{cost.day}", cost.service): cost for cost in costs}
    for service, colour in zip(services, _colours(len(services)), strict=True):
        for part, alpha in (("reported", 0.9), ("estimated", 0.45)):
            name = service if part == "reported" else f"{service}, estimated"
            found = [getattr(by_key.get((day, service)), part, 0.0) for day in days]
            if any(found):
                data[name] = found
                names.append(name)
                colours.append(colour)
                alphas.append(alpha)
    chart.vbar_stack(
        names, x="day", width=0.7, source=data, color=colours, fill_alpha=alphas,
        legend_label=names,
    )  # fmt: skip
    chart.xaxis.major_label_orientation = 0.8 if len(days) > 12 else 0
    _finish(chart, legend=True)
    return chart


def _kind(failure: FailureCount) -> str:
    return f"refused: {failure.failure}" if failure.refused else failure.failure or "unknown"


def _figure(
    names: Sequence[str] | None, *, height: int = _HEIGHT, lying: bool = False, **options: Any
) -> "Figure":
    """An empty plot; names: what stands along one axis, the upright one where it is *lying*."""
    from bokeh.models import DataRange1d
    from bokeh.plotting import figure

    options["x_range" if lying else "y_range"] = DataRange1d(start=0)
    if names is not None:
        options["y_range" if lying else "x_range"] = list(names)
    return figure(
        height=height,
        sizing_mode="stretch_width",
        tools="xpan,xwheel_zoom,box_zoom,reset,save",
        output_backend="svg",
        **options,
    )


def _finish(chart: "Figure", *, legend: bool) -> None:
    chart.toolbar.logo = None
    chart.toolbar.autohide = True
    chart.grid.grid_line_color = "#eee"
    chart.outline_line_color = None
    if legend and chart.legend:
        chart.add_layout(chart.legend[0], "right")
        chart.legend.click_policy = "hide"
        chart.legend.border_line_color = None


def _colours(count: int) -> list[str]:
    from bokeh.palettes import Colorblind8

    return [Colorblind8[number % 8] for number in range(count)]


def _milliseconds(moment: float) -> float:
    """Unix time as Bokeh shows it: it knows no zones, so the user's clock is told as if UTC."""
    local = datetime.fromtimestamp(moment).astimezone()
    return local.replace(tzinfo=UTC).timestamp() * 1000

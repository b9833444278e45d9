"""The ladder as one self-contained HTML page: no network, no script, no other files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from html import escape
from typing import Any, Final

from protocol.sizes import size_text
from publisher.views.html_report_css import CSS
from publisher.views.pareto_plot import inline_svg

COLUMNS: Final = (  # head, its unit
    ("file", "size"), ("wire", "to fetch"), ("accuracy", "95 % interval"), ("change", "to float32"),
    ("agreement", "with float32"), ("latency", "ms, p50"), ("latency", "ms, p95"), ("peak memory", "size"),
    ("zeros", "of weights"),
)  # fmt: skip


def report(facts: Mapping[str, Any]) -> str:
    """Render `Ladder.facts`."""
    title = escape(f"The ladder of {facts.get('recipe') or facts['file']}")
    parts = (*_head(facts), *_picture(facts), *_table(facts), *_impossible(facts), *_origin(facts))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{CSS}</style>\n</head>\n<body>\n<h1>{title}</h1>\n"
        + "\n".join(parts)
        + "\n</body>\n</html>\n"
    )


def _measure_text(facts: Mapping[str, Any]) -> str:
    measure = facts.get("measure", "accuracy")
    return "" if measure == "accuracy" else f" Accuracy is the {measure} here, from 0 to 1."


def _head(facts: Mapping[str, Any]) -> Iterator[str]:
    rungs, parent = facts["rungs"], facts["rungs"][0]
    yield (
        f'<p class="quiet">{len(rungs)} ways to ship one network, each measured with the device\'s own runtime on the'
        f" same {parent['accuracy_samples']} held-back samples.{escape(_measure_text(facts))}</p>"
    )
    front = [rung for rung in rungs if rung["name"] in facts["front"]]
    best = max(rungs, key=lambda rung: (rung["accuracy"], -rung["wire_bytes"]))
    smallest = min(front, key=lambda rung: rung["wire_bytes"])
    yield (
        f"<p>The most accurate is <strong>{escape(best['name'])}</strong> ({best['accuracy']:.3f},"
        f" {size_text(best['wire_bytes'])} on the wire). The smallest is <strong>{escape(smallest['name'])}</strong>"
        f" ({smallest['accuracy']:.3f}, {size_text(smallest['wire_bytes'])},"
        f" {smallest['wire_bytes'] / parent['wire_bytes']:.1%} of what float32 sends).</p>"
    )


def _picture(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>What accuracy costs on the wire</h2>\n<figure>"
    yield inline_svg(facts)
    yield inline_svg(facts, narrow=True)
    yield (
        '<figcaption class="quiet">Up and to the left is better. The line is the accuracy that can be had for so many'
        " bytes; a filled mark off the line is worth shipping because it is faster. Where intervals overlap, the"
        " held-back set is too small to tell two rungs apart.</figcaption>\n</figure>"
    )


def _table(facts: Mapping[str, Any]) -> Iterator[str]:
    yield "<h2>Every rung</h2>"
    yield (
        '<p class="quiet">Marked: no other rung is at least as good in accuracy, bytes on the wire and latency, and'
        " better in one; latencies within a fifth count as equal. <code>publisher release … --variants auto</code>"
        " ships these. Wire: what a device that has nothing must fetch. Latency: of one sample, on one thread of the"
        " machine that measured.</p>"
    )
    yield '<table>\n<thead><tr><th class="text">rung</th><th class="text">how</th>'
    yield "".join(f'<th>{head} <span class="unit">{unit}</span></th>' for head, unit in COLUMNS)
    yield "</tr></thead>\n<tbody>"
    yield from (_row(rung, in_front=rung["name"] in facts["front"]) for rung in facts["rungs"])
    yield "</tbody>\n</table>"


def _row(rung: Mapping[str, Any], *, in_front: bool) -> str:
    low, high = rung["accuracy_low"], rung["accuracy_high"]
    cells = (
        size_text(rung["file_bytes"]),
        size_text(rung["wire_bytes"]),
        f'<span>{rung["accuracy"]:.3f} <span class="range">{low:.3f} to {high:.3f}</span></span>',
        f"{rung['accuracy_change']:+.3f}",
        f"{rung['agreement']:.3f}",
        f"{rung['latency_ms_p50']:.3f}",
        f"{rung['latency_ms_p95']:.3f}",
        size_text(rung["memory_peak_bytes"]),
        f"{rung['sparsity']:.0%}",
    )
    figures = "".join(
        f'<td data-label="{head}, {unit}">{cell}</td>' for (head, unit), cell in zip(COLUMNS, cells, strict=True)
    )
    kind = ' class="front"' if in_front else ""
    how = f'<td class="text">{escape(rung["technique"])}</td>'
    return f'<tr{kind}><th scope="row">{escape(rung["name"])}</th>{how}{figures}</tr>'


def _impossible(facts: Mapping[str, Any]) -> Iterator[str]:
    if facts["impossible"]:
        listed = (f"<li>{escape(rung['name'])}: {escape(rung['reason'])}</li>" for rung in facts["impossible"])
        yield f"<h2>Not possible here</h2>\n<ul>{''.join(listed)}</ul>"
    study = facts["distillation"]
    if study:
        yield (
            f"<h2>Was the teacher worth it?</h2>\n<p>Over {len(study['seeds'])} seeds the student has a mean accuracy"
            f" of {study['taught_mean']:.4f} with its teacher, and {study['alone_mean']:.4f} without.</p>"
        )


def _origin(facts: Mapping[str, Any]) -> Iterator[str]:
    source = "recipe" if "recipe" in facts else "file"
    values = {
        f"{source} hash": facts[f"{source}_sha256"],
        "data hash": facts["data_sha256"],
        "calibration": f"{facts['calibration_samples']} samples, hash {facts['calibration_sha256']}",
        "settings": _listed(facts["settings"]),
        "versions": _listed(facts["versions"]),
        "took": f"{facts['took_s']:.0f} s ({facts['cpu_s']:.0f} s of processor time)",
    }
    listed = "".join(f"<dt>{name}</dt><dd>{escape(value)}</dd>" for name, value in values.items())
    yield f"<h2>Made from</h2>\n<dl>{listed}</dl>"


def _listed(pairs: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in pairs.items())

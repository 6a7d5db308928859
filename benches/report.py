"""Figures as Markdown, and what they were measured on."""
import os
import platform
import statistics
import subprocess
import sys
import time
from pathlib import Path


def note(text):
    print(text, file=sys.stderr, flush=True)


def median(samples, tool, what):
    return statistics.median(getattr(s, what) for s in samples[tool])


def spread(values, unit):
    """Median and interquartile range."""
    factor, digits = (1000, 0) if unit == "ms" else (1, 2)
    values = [v * factor for v in values]
    low, middle, high = statistics.quantiles(values, n=4, method="inclusive") if len(values) > 1 else values * 3
    return f"{middle:.{digits}f} {unit} ({low:.{digits}f}–{high:.{digits}f})"


def goal(what, got, most, unit):
    digits = 0 if float(got).is_integer() and unit == "" else 2 if unit == "×" else 1
    verdict = "met" if got <= most else "**missed**"
    return f"{what}: **{got:.{digits}f}{unit}**, target ≤ {most:g}{unit}, {verdict}"


def rows_of(head, rows):
    return [f"| {' | '.join(head)} |", "|" + "---|" * len(head)] + [f"| {' | '.join(row)} |" for row in rows]


def section(title, about, lines, goals):
    return "\n".join([f"## {title}", "", about, "", *lines, *([""] if lines else []), *(f"- {g}" for g in goals), ""])


def says(*argv):
    """The version a tool prints."""
    done = subprocess.run(argv, capture_output=True, text=True)
    words = (done.stdout or done.stderr).replace("+", " ").split()
    return next((w.strip("v,") for w in words if w.strip("v")[:1].isdigit() and "." in w), "?")


def machine():
    """Day and machine of a measurement."""
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(": ")[1].strip() for line in lines if line.startswith("model name")), "?")
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, {os.cpu_count()} × {model}, Linux {platform.release()}"

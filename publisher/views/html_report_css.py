"""The style sheet of the report, for wide and narrow, light and dark screens."""

from __future__ import annotations

from typing import Final

CSS: Final = """
:root { color-scheme: light dark; --ink: #20262d; --faint: #66707a; --rule: #e2e6ea; --paper: #ffffff;
  --accent: #0a6a94; --tint: #eef5f9; }
@media (prefers-color-scheme: dark) { :root { --ink: #dde3e8; --faint: #929ca6; --rule: #323a42; --paper: #15191d;
  --accent: #5bb4dd; --tint: #1b2830; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 74rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.6rem; margin: 0 0 .25rem; }
h2 { font-size: 1.15rem; margin: 2rem 0 .5rem; }
p, ul, figcaption { margin: .25rem 0 .75rem; max-width: 46rem; overflow-wrap: anywhere; }
.quiet { color: var(--faint); }
code { font-size: .9em; background: var(--tint); padding: .1em .3em; border-radius: 3px; }
figure { margin: 1.5rem 0 0; }
figure svg { display: block; width: 100%; height: auto; }
svg.wide { max-width: 60rem; }
svg.narrow { display: none; }
table { width: 100%; border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .5rem; text-align: right; border-bottom: 1px solid var(--rule); vertical-align: top; }
th { font-weight: 600; }
thead th { vertical-align: bottom; color: var(--faint); }
tbody th, .text { text-align: left; }
tbody th, td:not(.text) { white-space: nowrap; }
.unit { display: block; font-weight: 400; font-size: .8rem; }
.range { display: block; color: var(--faint); font-size: .8rem; }
tr.front { background: var(--tint); }
tr.front th { color: var(--accent); }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .2rem 1rem; font-size: .9rem; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 62rem) {
  thead { display: none; }
  table, tbody { display: block; }
  tbody { display: grid; gap: .75rem; grid-template-columns: repeat(auto-fit, minmax(min(20rem, 100%), 1fr)); }
  tr { display: block; border: 1px solid var(--rule); border-radius: 6px; padding: .5rem .75rem; }
  th, td { display: block; border: 0; padding: .1rem 0; }
  td.text { color: var(--faint); padding-bottom: .3rem; }
  td:not(.text) { display: flex; justify-content: space-between; gap: 1rem; }
  td:not(.text)::before { content: attr(data-label); color: var(--faint); text-align: left; }
}
@media (max-width: 40rem) {
  svg.wide { display: none; }
  svg.narrow { display: block; }
  dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; }
}
"""

"""The style sheet of a report: light and dark as the reader's system says, and fit for print."""

from __future__ import annotations

from typing import Final

STYLE: Final = """
:root { color-scheme: light dark;
  --ground: #f3f4f6; --surface: #fff; --sunken: #eceef2; --border: #dcdfe5; --text: #1b2027;
  --muted: #586271; --warning: #855700; --warning-soft: #fbf1dc; --grid: #e3e6eb; --strong: #fff;
  --baseline: #6b7480; --s0: #007a5a; --s1: #8a4f9e; --s2: #9a6a00; --s3: #b5477c; --s4: #2a86b8;
  --s5: #0072b2; --s6: #c04f00; }
@media (prefers-color-scheme: dark) { :root {
  --ground: #14171c; --surface: #1b1f26; --sunken: #101318; --border: #2d343f; --text: #e7eaef;
  --muted: #9ca6b4; --warning: #efb64e; --warning-soft: #352a17; --grid: #2a303a; --strong: #fff;
  --baseline: #8d97a5; --s0: #2fc79b; --s1: #c79be0; --s2: #efb64e; --s3: #f08cc0; --s4: #7cc4ee;
  --s5: #56b4e9; --s6: #f08c3a; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text);
  font: 15px/1.5 system-ui, "Segoe UI", "Helvetica Neue", "Noto Sans", sans-serif; }
main { max-width: 960px; margin: 0 auto; padding: 32px 24px 64px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 8px; }
h2 { font-size: 20px; margin: 40px 0 12px; }
h3 { font-size: 16px; margin: 28px 0 8px; }
p { margin: 0 0 12px; max-width: 72ch; }
.muted, figcaption, caption, .interval { color: var(--muted); }
.tag { display: inline-block; margin: 0 8px 8px 0; padding: 2px 10px; border-radius: 6px;
  border: 1px solid var(--border); background: var(--surface); font-weight: 600; font-size: 13px; }
.tag.bound, .warning { background: var(--warning-soft); color: var(--warning);
  border: 1px solid currentColor; }
.warning { border-radius: 8px; padding: 10px 16px; margin: 0 0 12px; max-width: none; }
.warning b { display: block; }
.card { background: var(--surface); border: 1px solid var(--border); border-radius: 8px; padding: 16px;
  margin: 0 0 16px; overflow-x: auto; }
figure { margin: 0; }
svg.curve { display: block; width: 100%; height: auto; }
svg text { fill: var(--muted); font-size: 12px; }
svg text.name { fill: var(--text); font-weight: 600; }
.grid { stroke: var(--grid); fill: none; }
.band { stroke: none; fill-opacity: .14; }
.line { fill: none; stroke-width: 2; }
.line.baseline { stroke-dasharray: 6 4; }
.whisker { fill: none; stroke-width: 1; }
.mark { stroke: var(--surface); stroke-width: 1.2; }
.baseline { --c: var(--baseline); } .s0 { --c: var(--s0); } .s1 { --c: var(--s1); }
.s2 { --c: var(--s2); } .s3 { --c: var(--s3); } .s4 { --c: var(--s4); } .s5 { --c: var(--s5); }
.s6 { --c: var(--s6); }
.line, .whisker { stroke: var(--c); } .band, .mark { fill: var(--c); }
table { min-width: min(100%, 34em); border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: 0 0 6px; }
th, td { padding: 5px 12px 5px 0; text-align: right; vertical-align: top; white-space: nowrap; }
th { font-weight: 600; } thead th { border-bottom: 1px solid var(--border); }
tbody tr + tr > * { border-top: 1px solid var(--border); }
th:first-child { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 7em; }
.interval { display: block; font-size: 12px; }
table.confusion { min-width: 0; font-size: 12px; border-spacing: 1px; border-collapse: separate; }
table.confusion td { min-width: 30px; padding: 5px 4px; text-align: center; background: var(--sunken);
  border: 0; }
table.confusion th { border: 0; min-width: 0; padding: 4px 8px; font-weight: 400; color: var(--muted); }
table.confusion thead th { vertical-align: bottom; }
table.confusion thead th span { writing-mode: vertical-rl; transform: rotate(180deg); max-height: 11em; }
.pair { display: flex; flex-wrap: wrap; gap: 24px; }
table.facts td, table.facts th { text-align: left; white-space: normal; overflow-wrap: anywhere; }
table.facts th { width: 15em; font-weight: 400; color: var(--muted); }
@media (prefers-color-scheme: light) { td.strong { color: var(--strong); } }
@page { margin: 16mm 14mm; }
@media print {
  :root { color-scheme: light;
    --ground: #fff; --surface: #fff; --sunken: #f4f5f7; --border: #bcc3cd; --text: #000;
    --muted: #444; --warning: #6b4600; --warning-soft: #fff; --grid: #d5d9df;
    --baseline: #6b7480; --s0: #007a5a; --s1: #8a4f9e; --s2: #9a6a00; --s3: #b5477c; --s4: #2a86b8;
    --s5: #0072b2; --s6: #c04f00; }
  body { font-size: 10pt; } main { max-width: none; padding: 0; }
  .card { border: 0; padding: 0; overflow: visible; }
  h2, h3, h3 + .muted { break-after: avoid; } figure, tr, .warning { break-inside: avoid; }
  section.model { break-before: page; } section.model > h2 { margin-top: 0; }
  thead { display: table-header-group; }
  .card:has(table.accuracy), .card:has(table.waterfall), .card:has(table.confusion) { break-inside: avoid; }
  .pair { display: block; } .pair .card { display: inline-block; margin-right: 24px; vertical-align: top; }
  .pair .card.wide { display: block; margin-right: 0; }
  th, td { white-space: normal; }
  .wide table.confusion { table-layout: fixed; width: 100%; font-size: 5.5pt; border-spacing: 0; }
  .wide table.confusion td { min-width: 0; padding: 2px 0; }
  .wide table.confusion th { padding: 2px; white-space: nowrap; overflow: hidden; text-overflow: ellipsis; }
  .wide table.confusion th:first-child { width: 24mm; }
  .wide table.confusion caption { font-size: 10pt; }
  table.confusion td, .band, .mark { -webkit-print-color-adjust: exact; print-color-adjust: exact; }
}
"""
"""No colour is written elsewhere but the two of the confusion matrix, whose strength is a figure."""

"""The report's style sheet: readable in light and dark, on paper and on a phone. It names no font
and no file to load.
"""

CSS = """
:root { color-scheme: light dark; --ink: #1b1f24; --muted: #5d6570; --line: #dde1e7; --page: #ffffff; --panel: #f5f7f9;
  --best: #0b5fc0; --control: #b4500b; --complete: #3f7d86; --pruned: #98a0ab; --failed: #b42318; --running: #8250c4;
  --good: #17724a; }
@media (prefers-color-scheme: dark) { :root { --ink: #e7eaee; --muted: #a0a8b4; --line: #343a44; --page: #14171b;
  --panel: #1c2026; --best: #6fb1ff; --control: #ffa15c; --complete: #7cc0ca; --pruned: #727b88; --failed: #ff8b80;
  --running: #c4a1ff; --good: #62d1a2; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 2rem 1.25rem 4rem; max-width: 76rem; background: var(--page); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .25rem; }
h2 { font-size: 1.3rem; line-height: 1.25; margin: 3rem 0 .75rem; padding-top: .9rem; border-top: 1px solid var(--line); }
h3 { font-size: 1rem; margin: 0 0 .35rem; }
p, ul { margin: .4rem 0 .8rem; max-width: 52rem; }
ul { padding-left: 1.2rem; }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; }
.muted, figcaption, .facts dt, .note { color: var(--muted); }
.warning { border-left: 4px solid var(--failed); padding: .3rem .8rem; background: var(--panel); }
.facts { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 11rem), 1fr));
  gap: .75rem; margin: 1.2rem 0; }
.facts div { background: var(--panel); border-radius: .6rem; padding: .7rem .9rem; }
.facts dt { font-size: .85rem; line-height: 1.3; }
.facts dd { margin: 0; font-size: 1.5rem; line-height: 1.35; font-weight: 650; font-variant-numeric: tabular-nums; }
.facts dd small { display: block; font-size: .85rem; line-height: 1.3; font-weight: 400; color: var(--muted); }
.charts figure, .slices figure { margin: 0; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 29rem), 1fr)); gap: 1.25rem; }
.slices { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); gap: 1rem; }
figure { margin: 0 0 1.25rem; padding: .9rem 1rem; border: 1px solid var(--line); border-radius: .6rem; background: var(--page);
  break-inside: avoid; min-width: 0; }
figcaption { font-size: .88rem; line-height: 1.4; margin-top: .4rem; }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: 0 0 .3rem; font-size: .85rem; color: var(--muted); }
.legend span { display: inline-flex; align-items: center; gap: .35rem; }
svg { display: block; width: 100%; height: auto; overflow: visible; }
svg.swatch { width: 22px; height: 12px; flex: none; }
svg text { fill: var(--muted); font-size: 12.5px; font-variant-numeric: tabular-nums; }
svg text.label { font-size: 11px; }
svg text.name { fill: var(--ink); }
path { fill: none; stroke: currentColor; stroke-width: 1.2; }
path.grid { stroke: var(--line); stroke-width: 1; }
path.axis { stroke: var(--muted); stroke-width: 1; }
path.gate { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 2 4; }
path.line { stroke-linejoin: round; opacity: .5; }
path.line.best, path.line.control, path.line.reach { opacity: 1; stroke-width: 2; }
path.line.thick { stroke-width: 2.6; }
path.line.level { stroke-dasharray: 6 4; stroke-width: 1.5; }
path.line.pruned { opacity: .4; }
path.line.running { stroke-dasharray: 3 3; opacity: .8; }
path.dots { stroke-width: 6.5; stroke-linecap: round; opacity: .55; }
path.cross { stroke-width: 1.4; opacity: .85; }
path.best { stroke: var(--best); } path.control { stroke: var(--control); } path.complete { stroke: var(--complete); }
path.pruned { stroke: var(--pruned); } path.failed { stroke: var(--failed); } path.running { stroke: var(--running); }
circle { stroke: var(--page); stroke-width: 1; }
circle.best { fill: var(--best); } circle.control { fill: var(--control); } circle.complete { fill: var(--complete); }
circle.pruned { fill: var(--page); stroke: var(--pruned); stroke-width: 1.4; }
.scroll { overflow-x: auto; }
.tall { max-height: 40rem; overflow: auto; border: 1px solid var(--line); border-radius: .6rem; }
.tall th, .tall td { vertical-align: top; }
.tall thead th { position: sticky; top: 0; background: var(--panel); z-index: 1; }
table { border-collapse: collapse; width: 100%; font-size: .92rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
th, td { padding: .35rem .6rem; text-align: left; vertical-align: middle; border-bottom: 1px solid var(--line);
  overflow-wrap: normal; }
th { font-weight: 600; color: var(--muted); white-space: nowrap; }
tbody th { color: var(--ink); white-space: normal; min-width: 7rem; overflow-wrap: anywhere; }
td.number, th.number { text-align: right; white-space: nowrap; }
td.words { min-width: 13rem; overflow-wrap: anywhere; }
td.drawn { width: 45%; }
td.mark-best, tr.best td.score, b.best { color: var(--best); font-weight: 650; }
tr.control td.score, b.control { color: var(--control); font-weight: 650; }
tr.total th, tr.total td { font-weight: 650; border-bottom: 0; }
.up { color: var(--good); } .down { color: var(--failed); }
.state-failed, .state-infeasible { color: var(--failed); } .state-running { color: var(--running); }
.state-pruned, .state-waiting, .state-interrupted { color: var(--muted); }
.bar { display: block; height: .7rem; border-radius: .2rem; background: var(--complete); min-width: 1px; }
.picture { overflow-x: auto; background: #ffffff; border-radius: .4rem; }
.picture img { display: block; width: 100%; min-width: 34rem; height: auto; }
.picture.small img { min-width: 0; max-width: 34rem; }
footer { margin-top: 3rem; padding-top: 1rem; border-top: 1px solid var(--line); color: var(--muted); font-size: .88rem; }
@media (max-width: 40rem) { body { padding: 1.2rem .8rem 3rem; } h1 { font-size: 1.5rem; } figure { padding: .7rem .6rem; }
  svg.chart text { font-size: 19px; } svg.chart text.label { font-size: 17px; } .slices svg.chart text { font-size: 14px; }
  svg.strip text { font-size: 18px; } table.folds, table.folds tbody, table.folds thead { display: block; }
  table.folds tr { display: flex; flex-wrap: wrap; border-bottom: 1px solid var(--line); padding: .25rem 0; }
  table.folds th, table.folds td { border: 0; flex: 1 1 3rem; min-width: 0; padding: .1rem .25rem; white-space: normal; }
  table.folds th:first-child { flex: 2 1 6rem; } table.folds td:last-child { flex: 1 0 100%; }
  table.folds th:last-child { display: none; } .tall table.folds { font-size: .78rem; }
  .tall table.folds th:first-child { flex: 0 0 2.4rem; } .tall table.folds tr > :nth-child(2) { flex-grow: 3; } }
@media print { :root { color-scheme: light; --ink: #000; --muted: #444; --line: #ccc; --page: #fff; --panel: #f2f2f2;
  --best: #0b5fc0; --control: #b4500b; --complete: #3f7d86; --pruned: #98a0ab; --failed: #b42318; --running: #8250c4;
  --good: #17724a; }
  body { max-width: none; padding: 0; font-size: 10.5pt; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  .tall { max-height: none; overflow: visible; border: 0; } .tall th, .tall td { vertical-align: top; }
.tall thead th { position: static; }
  .charts { grid-template-columns: 1fr 1fr; } .slices { grid-template-columns: 1fr 1fr 1fr; }
  h2, h3 { break-after: avoid; } tr { break-inside: avoid; } .picture img { min-width: 0; } }
"""

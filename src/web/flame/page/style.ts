/** The page's style sheet; the page adopts it, so that its policy needs to allow no style at all. */
export const STYLE = `
:root {
  color-scheme: light dark;
  --background: #fff; --raised: #f5f6f8; --text: #16181d; --faint: #5d6470; --line: #d9dce2; --accent: #1d4ed8; --bar: 0%;
  --bar-colour: #cfe0ff; --hover: #eaf0ff; --marked: #fbe3f3;
}
:root.dark {
  color-scheme: dark;
  --background: #16181d; --raised: #1f2229; --text: #f2f3f5; --faint: #9aa1ad; --line: #363a43; --accent: #8ab4ff;
  --bar-colour: #26406e; --hover: #262b35; --marked: #4a2140;
}
:root.light { color-scheme: light; }
* { box-sizing: border-box; }
[hidden] { display: none !important; }
html, body { height: 100%; margin: 0; }
body {
  display: flex; flex-direction: column; overflow: hidden; background: var(--background); color: var(--text);
  font: 13px/1.35 system-ui, "DejaVu Sans", sans-serif;
}
#message { margin: 2em; max-width: 60em; overflow-wrap: anywhere; }
button, select, input[type=search], summary {
  font: inherit; color: inherit; background: var(--background); border: 1px solid var(--line); border-radius: 5px; padding: 2px 8px; min-height: 26px;
}
button, summary { cursor: pointer; }
button:hover, summary:hover { background: var(--hover); }
:focus-visible { outline: 2px solid var(--accent); outline-offset: -1px; }
.bar { display: flex; flex-wrap: wrap; align-items: center; gap: 6px 10px; padding: 6px 10px 0; background: var(--raised); }
.bar:last-child { padding-bottom: 6px; border-bottom: 1px solid var(--line); }
.bar label { display: inline-flex; align-items: center; gap: 4px; color: var(--faint); white-space: nowrap; }
.bar input[type=checkbox] { margin: 0; }
.roots { display: inline-flex; gap: 9px; color: var(--faint); align-items: center; }
.bar .spring { flex: 1; }
.bar h1 { font-size: 14px; font-weight: 600; margin: 0; max-width: 28em; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.tabs, .group { display: inline-flex; }
.tabs button, .group button { border-radius: 0; margin-left: -1px; }
.tabs button:first-child, .group button:first-child { border-radius: 5px 0 0 5px; }
.tabs button:last-child, .group button:last-child { border-radius: 0 5px 5px 0; }
[aria-pressed=true], [aria-selected=true].tab { background: var(--accent); border-color: var(--accent); color: var(--background); }
[aria-pressed=true]:hover, [aria-selected=true].tab:hover { background: var(--accent); }
.search { display: inline-flex; align-items: center; gap: 6px; flex: 0 1 24em; min-width: 12em; }
.search input { flex: 1; min-width: 6em; }
.search .wrong { border-color: #d33; outline-color: #d33; }
.search output { min-width: 5em; white-space: nowrap; font-variant-numeric: tabular-nums; }
.chooser { position: relative; }
.chooser summary { list-style: none; white-space: nowrap; max-width: 22em; overflow: hidden; text-overflow: ellipsis; color: var(--faint); }
.chooser summary b { font-weight: 500; color: var(--text); unicode-bidi: isolate; }
.chooser.active summary { border-color: var(--accent); }
.chooser.active summary b { color: var(--accent); }
.chooser .panel {
  position: absolute; z-index: 3; top: calc(100% + 4px); left: 0; width: min(24em, 90vw); padding: 8px; display: flex; flex-direction: column; gap: 6px;
  background: var(--background); border: 1px solid var(--line); border-radius: 6px; box-shadow: 0 6px 24px #0004;
}
.chooser .items { max-height: 50vh; overflow: auto; }
.chooser .row { display: flex; align-items: center; gap: 6px; }
.chooser .row label { flex: 1; min-width: 0; color: var(--text); }
.chooser .item { overflow: hidden; text-overflow: ellipsis; unicode-bidi: isolate; }
.chooser .share { color: var(--faint); font-variant-numeric: tabular-nums; white-space: nowrap; }
.chooser .items button { min-height: 20px; padding: 0 6px; }
.strips { flex: none; max-height: 148px; overflow: auto; border-bottom: 1px solid var(--line); }
.strips canvas { display: block; cursor: col-resize; }
.crumbs { display: flex; flex: none; gap: 2px; padding: 3px 10px; min-height: 30px; overflow-x: auto; white-space: nowrap; border-bottom: 1px solid var(--line); scrollbar-width: thin; align-items: center; color: var(--faint); }
.crumbs button { border: 0; background: none; padding: 0 4px; min-height: 22px; max-width: 22em; overflow: hidden; text-overflow: ellipsis; color: var(--accent); flex: none; unicode-bidi: isolate; }
.crumbs button:last-of-type { color: var(--text); font-weight: 600; }
main { flex: 1; min-height: 0; display: flex; }
.graph { flex: 1; min-width: 0; position: relative; overflow: hidden auto; }
.graph canvas:focus-visible { outline-width: 1px; }
.graph canvas { display: block; position: sticky; top: 0; cursor: default; touch-action: pan-y; }
.outline { position: absolute; pointer-events: none; border: 2px solid var(--text); border-radius: 1px; }
.sandwich { flex: 1; min-width: 0; display: flex; }
.sandwich .functions { flex: 0 0 min(34%, 30em); border-right: 1px solid var(--line); }
.slices { flex: 1 1 0; min-width: 0; min-height: 0; display: flex; flex-direction: column; }
.slices .graph { flex: 1 1 0; min-height: 0; }
.slices .filling { flex: none; padding: 5px 10px; background: var(--raised); border-block: 1px solid var(--line); display: flex; gap: 12px; align-items: baseline; }
.slices .filling b { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.slices .filling span { color: var(--faint); white-space: nowrap; }
.functions { flex: 1; min-width: 0; display: flex; flex-direction: column; }
.functions .head { flex: none; overflow: hidden; background: var(--raised); border-bottom: 1px solid var(--line); }
.functions .head button { border: 0; background: none; padding: 0; min-height: 24px; width: 100%; text-align: inherit; white-space: nowrap; }
.functions .body { flex: 1; min-height: 0; overflow: auto; position: relative; }
.functions .room { position: relative; min-width: 100%; }
.functions .tr { position: absolute; left: 0; right: 0; height: 22px; cursor: pointer; }
.functions .tr, .functions .head { display: flex; }
.functions .tr:hover { background: var(--hover); }
.functions .tr[aria-selected=true] { background: var(--marked); }
.cell { flex: 0 0 8.5em; padding: 1px 8px; text-align: right; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-variant-numeric: tabular-nums; line-height: 20px; }
.cell.self, .cell.total { flex-basis: 6.5em; background: linear-gradient(to right, var(--bar-colour) var(--bar), transparent var(--bar)) no-repeat; }
.cell.name { flex: 1 1 16em; text-align: left; font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: 12px; }
.head .cell.name { font: inherit; }
.cell.dso { flex: 0 1 18em; text-align: left; color: var(--faint); }
.cell.kind { flex: 0 1 11em; text-align: left; color: var(--faint); }
.cell span { unicode-bidi: isolate; }
.status { display: flex; flex: none; flex-wrap: wrap; gap: 2px 16px; padding: 4px 10px; background: var(--raised); border-top: 1px solid var(--line); min-height: 28px; align-items: center; }
.status output { flex: 1 1 20em; min-width: 0; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; unicode-bidi: isolate; }
.status .totals { color: var(--faint); white-space: nowrap; font-variant-numeric: tabular-nums; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 10px; color: var(--faint); }
.legend span { display: inline-flex; align-items: center; gap: 4px; white-space: nowrap; }
.legend i { width: 11px; height: 11px; border-radius: 2px; display: inline-block; }
.tooltip {
  position: fixed; z-index: 4; pointer-events: none; max-width: min(46em, 94vw); padding: 7px 10px; background: var(--background);
  border: 1px solid var(--line); border-radius: 6px; box-shadow: 0 4px 18px #0005;
}
.tooltip .name { font: 600 12px ui-monospace, "DejaVu Sans Mono", monospace; overflow-wrap: anywhere; max-height: 8.5em; overflow: hidden; unicode-bidi: isolate; margin-bottom: 4px; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: 2px 12px; margin: 0; }
dt { color: var(--faint); }
dd { margin: 0; overflow-wrap: anywhere; unicode-bidi: isolate; font-variant-numeric: tabular-nums; }
dialog { border: 1px solid var(--line); border-radius: 8px; background: var(--background); color: var(--text); max-width: min(44em, 92vw); padding: 16px 20px; }
dialog h2 { margin: 0 0 8px; font-size: 16px; }
dialog h3 { margin: 14px 0 6px; font-size: 13px; }
dialog > button { margin-top: 14px; }
dialog::backdrop { background: #0006; }
@media (max-width: 720px) {
  .sandwich { flex-direction: column; }
  .sandwich .functions { flex: 0 0 30%; min-height: 0; border-right: 0; border-bottom: 1px solid var(--line); }
  .cell.dso, .cell.kind, .functions:not(.compact) .cell.self-weight, .functions:not(.compact) .cell.total-weight { display: none; }
  .bar { gap: 5px 6px; padding: 5px 6px 0; }
  .legend { display: none; }
}
`;

/**
 * The page's document. The program comes as the modules that the compiler wrote, one file each; what they import by name
 * the import map finds. A browser that knows no modules shows the text that is there without them.
 */

/** Packages that the page imports: where the server has each one's module. */
export const LIBRARIES = {
  "@xterm/xterm": "lib/xterm.mjs",
  "@xterm/addon-fit": "lib/addon-fit.mjs",
} as const;

const importMap = {
  imports: Object.fromEntries(Object.entries(LIBRARIES).map(([name, path]) => [name, `./lib/${name}/${path}`])),
};

export const DOCUMENT = `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>Vivarium</title>
<link rel="icon" href="data:,">
<link rel="stylesheet" href="lib/@xterm/xterm/css/xterm.css">
<style>
  html, body { height: 100%; margin: 0; }
  body { display: flex; flex-direction: column; background: #000; color: #ccc; font: 14px system-ui, sans-serif; }
  #terminal { flex: 1; min-height: 0; padding: 4px; }
  #status { padding: 4px 8px; background: #222; }
  #status.failed { background: #611; color: #fff; }
</style>
<div id="terminal"></div>
<div id="status" role="status">This page needs a browser of the last two years.</div>
<script type="importmap">${JSON.stringify(importMap)}</script>
<script type="module" src="dist/web/page/main.js"></script>
</html>
`;

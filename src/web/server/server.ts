/**
 * Serves the page: document, the compiled modules, the libraries they import, a guest, and the generated interpreter. What is
 * served is what anyone may read; nothing is taken from a request but the name of a file.
 */
import { readFile } from "node:fs/promises";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createRequire } from "node:module";
import type { AddressInfo } from "node:net";
import { dirname, extname, join, normalize, sep } from "node:path";
import { fileURLToPath } from "node:url";
import { VivError } from "../../base/index.ts";
import { generateInterpreter } from "../../cpu/software.ts";
import type { Guest, GuestIndex } from "../../image/index.ts";
import { cachedEngine, intact } from "../../sys/node/engine-cache.ts";
import { DOCUMENT, LIBRARIES } from "./document.ts";

export interface PageOptions {
  /** Of the loopback interface; 0 takes one that is free. */
  readonly port: number;
  /** The default guest; the page asks for it unless it is told of a kernel. */
  readonly guest?: Guest | undefined;
  /** Served below `files/`, for a page that is told to boot them. */
  readonly files?: ReadonlyMap<string, Uint8Array>;
}

export interface PageServer {
  readonly url: string;
  close(): Promise<void>;
}

const HOST = "127.0.0.1";

/**
 * Isolation, without which no browser lets threads share memory (HTML, 7.1.3 and 7.1.4); and nothing is kept, so that a
 * page never runs modules of two builds.
 */
const HEADERS = {
  "Cross-Origin-Opener-Policy": "same-origin",
  "Cross-Origin-Embedder-Policy": "require-corp",
  "Cross-Origin-Resource-Policy": "same-origin",
  "X-Content-Type-Options": "nosniff",
  "Cache-Control": "no-cache",
} as const;

const TYPES: Readonly<Record<string, string>> = {
  ".html": "text/html; charset=utf-8",
  ".js": "text/javascript; charset=utf-8",
  ".mjs": "text/javascript; charset=utf-8",
  ".css": "text/css; charset=utf-8",
  ".json": "application/json",
  ".map": "application/json",
  ".wasm": "application/wasm",
};
const ANY_TYPE = "application/octet-stream";

/** Below these, files of these kinds are served: all that a page may import, and what explains it to a debugger. */
const MODULES = new Set([".js", ".mjs", ".css", ".map"]);
const DIST = fileURLToPath(new URL("../../", import.meta.url));

function libraryDirectories(): readonly (readonly [prefix: string, directory: string])[] {
  const { resolve } = createRequire(import.meta.url);
  return Object.keys(LIBRARIES).map((name) => [`lib/${name}/`, dirname(resolve(`${name}/package.json`))]);
}

/** Answers with a file's content, or undefined where there is none of this name. */
type Source = (path: string) => Promise<Uint8Array | string | undefined>;

function sources({ guest, files }: PageOptions): Source {
  const content = new Map<string, () => Promise<Uint8Array> | Uint8Array | string>([
    ["", () => DOCUMENT],
    ["engine/interpreter.wasm", () => cachedEngine("interpreter", generateInterpreter, intact)],
  ]);
  if (guest) {
    const { name, version, kernelCommandLine } = guest;
    const index: GuestIndex = { name, version, kernelCommandLine };
    content.set("guest/guest.json", () => JSON.stringify(index));
    content.set("guest/kernel", () => readFile(guest.kernel));
    content.set("guest/initrd", () => guest.initrd);
  }
  for (const [name, bytes] of files ?? []) content.set(`files/${name}`, () => bytes);
  const directories = [["dist/", DIST] as const, ...libraryDirectories()];
  return async (path) => {
    const made = content.get(path);
    if (made) return made();
    const found = directories.find(([prefix]) => path.startsWith(prefix));
    return found && MODULES.has(extname(path)) ? fileBelow(found[1], path.slice(found[0].length)) : undefined;
  };
}

async function fileBelow(directory: string, path: string): Promise<Uint8Array | undefined> {
  const root = normalize(directory + sep);
  const file = join(root, path);
  if (!file.startsWith(root) || path.includes("\0")) return undefined;
  return readFile(file).catch(() => undefined);
}

/** The path a request names, without its slash; undefined where it is none. */
function pathOf(request: IncomingMessage): string | undefined {
  try {
    return decodeURIComponent(new URL(request.url ?? "", "http://page").pathname).slice(1);
  } catch {
    return undefined;
  }
}

async function answer(source: Source, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const reading = request.method === "GET" || request.method === "HEAD";
  const path = reading ? pathOf(request) : undefined;
  const content = path === undefined ? undefined : await source(path);
  if (path === undefined || content === undefined) {
    response.writeHead(reading ? 404 : 405, { ...HEADERS, "Content-Type": "text/plain" }).end("not here\n");
    return;
  }
  const type = path === "" ? TYPES[".html"] : (TYPES[extname(path)] ?? ANY_TYPE);
  const length = Buffer.byteLength(content);
  response.writeHead(200, { ...HEADERS, "Content-Type": type, "Content-Length": length });
  response.end(request.method === "HEAD" ? undefined : content);
}

/** Settles when the page can be opened. */
export async function servePage(options: PageOptions): Promise<PageServer> {
  const source = sources(options);
  const server = createServer((request, response) => {
    answer(source, request, response).catch(() => response.destroy());
  });
  await listen(server, options.port);
  const { port } = server.address() as AddressInfo;
  return {
    url: `http://${HOST}:${port}/`,
    close: () =>
      new Promise((resolve) => {
        server.close(() => resolve());
        server.closeAllConnections();
      }),
  };
}

const listen = (server: Server, port: number): Promise<void> =>
  new Promise((resolve, reject) => {
    server.once("error", (cause: NodeJS.ErrnoException) => {
      const reason = cause.code === "EADDRINUSE" ? "another program listens there" : cause.message;
      reject(
        new VivError("page.port", `the page cannot be served on port ${port} (${reason}): name another`, { cause }),
      );
    });
    server.listen(port, HOST, resolve);
  });

/** What the machine needs of a browser beyond the language, asked before anything else so that what is missing is said in words. */
import { VivError } from "../../base/index.ts";
import { wasmFeatures } from "../../cpu/host-features.ts";

/** Chromium 112, Firefox 121 and Safari 18.2 are the first with all of it. */
const BROWSERS = "use a current Chromium, Firefox or Safari";

/** Throws VivError `browser.*` where no machine can run on this page. */
export function requireBrowser(): void {
  // Without a secure context there is no isolation either, so this comes first (HTML, 7.1.3 and 8.1.3).
  if (!isSecureContext) {
    const reason = "the browser takes this page's address for one that others may listen to";
    throw new VivError("browser.insecure", `${reason}: open it by https, or by http on localhost`);
  }
  if (!crossOriginIsolated) {
    const headers = "Cross-Origin-Opener-Policy: same-origin and Cross-Origin-Embedder-Policy: require-corp";
    throw new VivError("browser.not-isolated", `threads cannot share memory on this page: serve it with ${headers}`);
  }
  const missing = wasmFeatures().filter(({ present }) => !present);
  if (missing.length > 0) {
    const names = missing.map(({ name, use }) => `${name} (to ${use})`).join(", ");
    throw new VivError("browser.wasm", `this browser's WebAssembly lacks ${names}: ${BROWSERS}`);
  }
}

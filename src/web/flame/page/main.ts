/** Begins when the document is there: the profile comes after this script. */
import { VivError } from "../../../base/errors.ts";
import { App } from "./app.ts";
import { loadData } from "./loading.ts";
import { STYLE } from "./style.ts";

async function open(): Promise<void> {
  const data = await loadData();
  if (data.profiles.length === 0) throw new VivError("flame.data", "the page's profile is empty");
  new App(data, document.title);
}

function fail(error: unknown): void {
  const message = document.getElementById("message");
  if (message === null) throw error;
  message.textContent = `The profile cannot be opened: ${error instanceof VivError ? error.message : String(error)}`;
  message.setAttribute("role", "alert");
}

const sheet = new CSSStyleSheet();
sheet.replaceSync(STYLE);
document.adoptedStyleSheets = [sheet];
addEventListener("DOMContentLoaded", () => void open().catch(fail));

/** Kernel modules as in /proc/modules, without what uses them. */

import { formatGva } from "../memory.ts";
import type { ModuleRow } from "../modules.ts";
import { showTable } from "./table.ts";

export const showModules = (modules: readonly ModuleRow[]): string =>
  showTable(modules, [
    { title: "MODULE", value: ({ name }) => name },
    { title: "SIZE", value: ({ size }) => size, right: true },
    { title: "STATE", value: ({ state }) => state },
    { title: "ADDRESS", value: ({ base }) => `0x${formatGva(base)}` },
    { title: "VERSION", value: ({ version, srcversion }) => version ?? srcversion ?? "" },
  ]);

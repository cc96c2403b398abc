import { join } from "node:path";

/**
 * How apt is run for the default guest: with the system's sources and keys, and everything it writes in a directory of
 * the user's (apt.conf(5)). Nothing here needs root, and the system's own state is not touched.
 */
export type Lists = "system" | "private";

type Option = readonly [name: string, value: string];

/** Read in any case. */
const COMMON: readonly Option[] = [
  // The guest is amd64 whatever the host is.
  ["APT::Architecture", "amd64"],
  ["APT::Architectures", "amd64"],
  // What is installed on the host does not matter, and would hide what can be downloaded.
  ["Dir::State::status", "/dev/null"],
  // As root, apt would otherwise fetch as a user who may not write to ours.
  ["APT::Sandbox::User", "root"],
  ["Acquire::Languages", "none"],
  ["Acquire::Retries", "2"],
];

/** Hooks of the host that expect root. */
const CLEARED = ["APT::Update::Pre-Invoke", "APT::Update::Post-Invoke", "APT::Update::Post-Invoke-Success", "DPkg"];

export function aptConfiguration(directory: string, lists: Lists): string {
  const state: readonly Option[] =
    lists === "private"
      ? [
          ["Dir::State", join(directory, "state")],
          ["Dir::State::lists", "lists/"],
        ]
      : [];
  const options = [...COMMON, ...state, ["Dir::Cache", join(directory, "cache")] as const];
  const cleared = ["APT::Architectures", ...CLEARED].map((name) => `#clear ${name};\n`);
  return cleared.join("") + options.map(([name, value]) => `${name} "${value}";\n`).join("");
}

/** The directories apt wants to find. */
export const APT_DIRECTORIES = ["state/lists/partial", "cache/archives/partial"] as const;

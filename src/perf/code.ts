/** Guest code that was recorded with a profile. */
import { Elf, type FileBytes } from "../guest/elf/elf.ts";
import { SEGMENT } from "../guest/elf/format.ts";
import { codePath } from "./perf-data/guest-files.ts";
import { Places } from "./perf-data/places.ts";
import type { Profile } from "./profile.ts";
import type { RecordingSource } from "./recording.ts";

/** Where the code is: `start` is an address in the DSO, as `ProfileSymbol.start`. Undefined where the recording has it not. */
export type CodeOf = (dso: number, start: number, length: number) => Uint8Array | undefined;

/** Addresses of the kernel's half, read as unsigned: exact, as its pieces begin on pages. */
const signed = (address: number): number => (address >= 2 ** 63 ? address - 2 ** 64 : address);

export function recordedCode(source: RecordingSource, profile: Profile): CodeOf {
  const places = new Places(profile);
  const open = new Map<number, { elf: Elf | undefined; file: FileBytes }>();
  return (dso, start, length) => {
    const kind = profile.dsos[dso]?.kind;
    if (kind === undefined || kind === "host" || kind === "label") return undefined;
    let opened = open.get(dso);
    if (opened === undefined) {
      const path = codePath(places, dso);
      const file: FileBytes = {
        read: (offset, size) => {
          const bytes = source.read(path, offset, size);
          return bytes.length === size ? bytes : undefined;
        },
      };
      open.set(dso, (opened = { elf: Elf.open(file), file }));
    }
    const { elf, file } = opened;
    if (elf === undefined) return undefined;
    const module = kind === "module" ? profile.kernelMaps.find((map) => map.dso === dso) : undefined;
    // Modules have sections alone, and lie at 0.
    const text = module === undefined ? undefined : elf.sectionNamed(".text");
    const parts =
      text === undefined
        ? elf.segments.filter(({ type }) => type === SEGMENT.load)
        : [{ address: 0, offset: text.offset, fileSize: text.size }];
    const at = start - (module?.start ?? 0);
    for (const { address, offset, fileSize } of parts) {
      const within = at - signed(address);
      if (within >= 0 && within < fileSize) return file.read(offset + within, Math.min(length, fileSize - within));
    }
    return undefined;
  };
}

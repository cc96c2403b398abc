import { VivError } from "../base/index.ts";

/**
 * Opens a Debian package (deb(5)): an `ar` archive of `debian-binary`, `control.tar` and `data.tar`, the latter two
 * compressed. Only the data member is wanted; its compression is told by its name.
 */
export type Compression = "none" | "gzip" | "xz" | "zstd";

export interface DebData {
  readonly compression: Compression;
  readonly tar: Uint8Array;
}

const DATA_MEMBERS: Readonly<Record<string, Compression>> = {
  "data.tar": "none",
  "data.tar.gz": "gzip",
  "data.tar.xz": "xz",
  "data.tar.zst": "zstd",
};

export function debData(deb: Uint8Array, name: string): DebData {
  for (const member of arMembers(deb, name)) {
    const compression = DATA_MEMBERS[member.name];
    if (compression !== undefined) return { compression, tar: member.data };
  }
  throw new VivError("guest.package-broken", `${name}: no data.tar in the package; fetch it again`);
}

/** ar(5): a magic, then members of a 60-byte header of text fields and data padded to an even length. */
const AR_MAGIC = "!<arch>\n";
const AR_HEADER = 60;
const AR_NAME = [0, 16] as const;
const AR_SIZE = [48, 58] as const;
const AR_END = [58, 60] as const;

interface ArMember {
  readonly name: string;
  readonly data: Uint8Array;
}

/** The members in order. GNU's table of long names is not read: a .deb has none. */
export function* arMembers(archive: Uint8Array, name: string): Generator<ArMember> {
  const text = (from: number, to: number): string => String.fromCharCode(...archive.subarray(from, to));
  if (text(0, AR_MAGIC.length) !== AR_MAGIC) {
    throw new VivError("guest.package-broken", `${name}: not a Debian package (no ar magic); fetch it again`);
  }
  for (let at = AR_MAGIC.length; at < archive.length; ) {
    const field = ([from, to]: readonly [number, number]): string => text(at + from, at + to).trimEnd();
    const size = /^\d+$/.test(field(AR_SIZE)) ? Number(field(AR_SIZE)) : -1;
    const data = at + AR_HEADER;
    if (size < 0 || text(at + AR_END[0], at + AR_END[1]) !== "`\n" || data + size > archive.length) {
      throw new VivError("guest.package-broken", `${name}: the package is damaged or cut short; fetch it again`);
    }
    // GNU ar ends a name with a slash, dpkg-deb does not.
    yield { name: field(AR_NAME).replace(/\/$/, ""), data: archive.subarray(data, data + size) };
    at = data + size + (size & 1);
  }
}

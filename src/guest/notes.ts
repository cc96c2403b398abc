/** ELF notes (System V ABI, chapter 5), as the kernel and its modules carry them. */

/** NT_GNU_BUILD_ID. */
const BUILD_ID = 3;
const OWNER = "GNU\0";
const HEADER = 12;
/** SHA-1 has 20 bytes. */
const MAX_BUILD_ID = 32;

const align = (size: number): number => Math.ceil(size / 4) * 4;

/** The build-id among notes, in hexadecimal. */
export function gnuBuildId(notes: Uint8Array): string | undefined {
  const view = new DataView(notes.buffer, notes.byteOffset, notes.length);
  for (let at = 0; at + HEADER <= notes.length; ) {
    const nameLength = view.getUint32(at, true);
    const length = view.getUint32(at + 4, true);
    const name = at + HEADER;
    const content = name + align(nameLength);
    if (view.getUint32(at + 8, true) === BUILD_ID && nameLength === OWNER.length && length <= MAX_BUILD_ID) {
      const owner = String.fromCharCode(...notes.subarray(name, name + nameLength));
      if (owner === OWNER && content + length <= notes.length) {
        return Array.from(notes.subarray(content, content + length), (byte) => byte.toString(16).padStart(2, "0")).join(
          "",
        );
      }
    }
    at = content + align(length);
  }
  return undefined;
}

/** Text as UTF-8 (WHATWG Encoding): a part of Node and of every browser, but not of the language, and so not in its library's types. */
interface Encoding {
  readonly TextEncoder: new () => { encode(text: string): Uint8Array<ArrayBuffer> };
  readonly TextDecoder: new (label: "utf-8", options: { fatal: boolean }) => { decode(bytes: Uint8Array): string };
}
const { TextEncoder, TextDecoder } = globalThis as unknown as Encoding;

const encoder = new TextEncoder();
const decoder = new TextDecoder("utf-8", { fatal: true });

/** Half of a surrogate pair becomes U+FFFD. */
export const encodeUtf8 = (text: string): Uint8Array<ArrayBuffer> => encoder.encode(text);

/** Throws TypeError where it is none. */
export const decodeUtf8 = (bytes: Uint8Array): string => decoder.decode(bytes);

/** Bit gathering and checksums of the integer instructions that WebAssembly has no counterpart for. */
import { type I32, i32, i64 } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

/** The polynomial of CRC32 (SDM vol. 2, CRC32), 11EDC6F41 with its bits reflected and the highest left out. */
const CRC32C = 0x82f6_3b78;

/** What bit i of a byte adds to the checksum after eight steps. */
const crcOfBit = (i: number): number => {
  let crc = 1 << i;
  for (let step = 0; step < 8; step++) crc = crc & 1 ? (crc >>> 1) ^ CRC32C : crc >>> 1;
  return crc;
};

export const BIT_FUNCTIONS = [
  /** PDEP: the low bits of the source go, in order, to the places where the mask has ones. */
  runtime("deposit_bits", "i64 i64", "i64", (f) => {
    const source = f.param(0, "i64");
    const mask = f.param(1, "i64");
    const result = f.local("i64");
    f.while(
      () => mask.get().nez(),
      () => {
        const lowest = f.let(mask.get().and(i64(0).sub(mask.get())));
        result.set(result.get().or(lowest.and(i64(0).sub(source.get().and(1)))));
        source.set(source.get().shrU(1));
        mask.set(mask.get().xor(lowest));
      },
    );
    f.return(result.get());
  }),

  /** PEXT: the bits of the source where the mask has ones go, in order, to the low end. */
  runtime("extract_bits", "i64 i64", "i64", (f) => {
    const source = f.param(0, "i64").get();
    const mask = f.param(1, "i64");
    const result = f.local("i64");
    const place = f.local("i64");
    f.while(
      () => mask.get().nez(),
      () => {
        const bit = f.let(source.shrU(mask.get().ctz()).and(1));
        result.set(result.get().or(bit.shl(place.get())));
        place.set(place.get().add(1));
        mask.set(mask.get().and(mask.get().sub(1)));
      },
    );
    f.return(result.get());
  }),

  /** CRC32: (checksum so far, data, its bytes) → checksum. */
  runtime("crc32c", "i32 i64 i32", "i32", (f) => {
    const crc = f.param(0, "i32");
    const data = f.param(1, "i64");
    const left = f.param(2, "i32");
    f.while(
      () => left.get(),
      () => {
        const byte = f.let(crc.get().xor(data.get().wrap()).and(0xff));
        let sum: I32 = crc.get().shrU(8);
        for (let i = 0; i < 8; i++)
          sum = sum.xor(
            byte
              .shl(31 - i)
              .shrS(31)
              .and(i32(crcOfBit(i))),
          );
        crc.set(sum);
        data.set(data.get().shrU(8));
        left.set(left.get().sub(1));
      },
    );
    f.return(crc.get());
  }),
];

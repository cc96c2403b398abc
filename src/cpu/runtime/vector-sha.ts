/** SHA-1 and SHA-256 (FIPS 180-4, 6.1 and 6.2) as SHA-NI cuts them up (SDM vol. 2, SHA1RNDS4 and following). */
import { type FunctionBuilder, type I32, i32, op, type Vec, v128 } from "../../wasm/index.ts";
import { runtime } from "./define.ts";

const lane = (v: Vec, i: number): I32 => v.lane("i32x4", i);
/** Four doublewords, lane 0 first. */
const vector = (...values: I32[]): Vec =>
  values.slice(1).reduce((v, x, i) => v.withLane("i32x4", i + 1, x), op("i32x4.splat", values[0]!) as Vec);
const vectorArgument = (f: FunctionBuilder, i: number): Vec => f.param(i, "v128").get();

const choose = (x: I32, y: I32, z: I32): I32 => x.and(y.xor(z)).xor(z);
const majority = (x: I32, y: I32, z: I32): I32 => x.and(y).or(z.and(x.or(y)));
const parity = (x: I32, y: I32, z: I32): I32 => x.xor(y).xor(z);

/** FIPS 180-4, 4.2.1: function and constant of each twenty rounds, by the immediate. */
const SHA1 = [
  [choose, 0x5a827999],
  [parity, 0x6ed9eba1],
  [majority, 0x8f1bbcdc],
  [parity, 0xca62c1d6],
] as const;

/** FIPS 180-4, 4.1.2. */
const bigSigma0 = (x: I32): I32 => x.rotr(2).xor(x.rotr(13)).xor(x.rotr(22));
const bigSigma1 = (x: I32): I32 => x.rotr(6).xor(x.rotr(11)).xor(x.rotr(25));

const rotateLanes = (v: Vec, by: number): Vec => v.op("i32x4.shl", i32(by)).or(v.op("i32x4.shr_u", i32(32 - by)));
/** Small sigma functions on four lanes: two rotations to the right and a shift. */
const smallSigma = (v: Vec, first: number, second: number, shift: number): Vec =>
  rotateLanes(v, 32 - first)
    .xor(rotateLanes(v, 32 - second))
    .xor(v.op("i32x4.shr_u", i32(shift)));

/** Doublewords of two vectors, by number: 0-3 of `a`, 4-7 of `b`. */
const pick = (a: Vec, b: Vec, ...from: number[]): Vec =>
  a.shuffle(
    b,
    from.flatMap((n) => [4 * n, 4 * n + 1, 4 * n + 2, 4 * n + 3]),
  );
const ZERO = v128(new Uint8Array(16));

export const VECTOR_SHA = [
  /** Four rounds. `state`: D C B A from lane 0; `words`: W3 W2 W1 and, in lane 3, W0 + E. */
  runtime("sha1Rounds", "v128 v128 i32", "v128", (f) => {
    const state = vectorArgument(f, 0);
    const words = vectorArgument(f, 1);
    const rounds = ([mix, constant]: (typeof SHA1)[number]) => {
      let [a, b, c, d] = [3, 2, 1, 0].map((i) => lane(state, i)) as [I32, I32, I32, I32];
      let e: I32 = i32(0);
      for (let i = 3; i >= 0; i--) {
        const next = f.let(
          a
            .rotl(5)
            .add(mix(b, c, d))
            .add(lane(words, i))
            .add(e)
            .add(constant | 0),
        );
        [e, d, c, b, a] = [d, c, f.let(b.rotl(30)), a, next];
      }
      f.return(vector(d, c, b, a));
    };
    const kind = f.param(2, "i32").get().and(3);
    f.switch(
      kind,
      SHA1.slice(0, 3).map((which) => () => rounds(which)),
      () => rounds(SHA1[3]),
    );
    f.unreachable();
  }),
  /** E of four rounds on, added to the message words. */
  runtime("sha1NextE", "v128 v128", "v128", (f) => {
    const words = vectorArgument(f, 1);
    const e = lane(vectorArgument(f, 0), 3).rotl(30);
    f.return(words.withLane("i32x4", 3, lane(words, 3).add(e)));
  }),
  /** W(t-16) xor W(t-14) for four t; words run downwards from lane 3. */
  runtime("sha1Message1", "v128 v128", "v128", (f) => {
    const a = vectorArgument(f, 0);
    f.return(a.xor(pick(vectorArgument(f, 1), a, 2, 3, 4, 5)));
  }),
  /** The last two terms and the rotation; the lowest lane needs the first of the new words. */
  runtime("sha1Message2", "v128 v128", "v128", (f) => {
    const a = vectorArgument(f, 0);
    const b = vectorArgument(f, 1);
    const upper = f.let(rotateLanes(f.let(a.xor(pick(ZERO, b, 0, 4, 5, 6))), 1));
    f.return(upper.withLane("i32x4", 0, lane(a, 0).xor(lane(upper, 3)).rotl(1)));
  }),
  /** Two rounds. `first`: H G D C from lane 0, `second`: F E B A, `keys`: W + K of both rounds. */
  runtime("sha256Rounds", "v128 v128 v128", "v128", (f) => {
    const first = vectorArgument(f, 0);
    const second = vectorArgument(f, 1);
    const keys = vectorArgument(f, 2);
    let [h, g, d, c] = [0, 1, 2, 3].map((i) => f.let(lane(first, i))) as [I32, I32, I32, I32];
    let [ff, e, b, a] = [0, 1, 2, 3].map((i) => f.let(lane(second, i))) as [I32, I32, I32, I32];
    for (let i = 0; i < 2; i++) {
      const one = f.let(choose(e, ff, g).add(bigSigma1(e)).add(lane(keys, i)).add(h));
      const two = majority(a, b, c).add(bigSigma0(a));
      [h, g, ff, e, d, c, b, a] = [g, ff, e, f.let(one.add(d)), c, b, a, f.let(one.add(two))];
    }
    f.return(vector(ff, e, b, a));
  }),
  /** W(t-16) + sigma0(W(t-15)) for four t. */
  runtime("sha256Message1", "v128 v128", "v128", (f) => {
    const a = vectorArgument(f, 0);
    const next = f.let(pick(a, vectorArgument(f, 1), 1, 2, 3, 4));
    f.return(a.op("i32x4.add", smallSigma(next, 7, 18, 3)));
  }),
  /** sigma1(W(t-2)) added; the upper two words need the lower two. */
  runtime("sha256Message2", "v128 v128", "v128", (f) => {
    const a = vectorArgument(f, 0);
    const b = vectorArgument(f, 1);
    const low = f.let(a.op("i32x4.add", smallSigma(pick(b, ZERO, 2, 3, 4, 4), 17, 19, 10)));
    f.return(low.op("i32x4.add", smallSigma(pick(ZERO, low, 0, 0, 4, 5), 17, 19, 10)));
  }),
];

/**
 * The middle way between the fast path of the rows and soft float: still WebAssembly's own arithmetic, for operands that
 * the rows' cheap guards leave out, above all zeros, and for programs that have not raised PE yet, where it takes a
 * few more operations to know whether a result is exact. The error of a sum comes from Knuth's TwoSum, that of a product from
 * Dekker's (Muller et al., Handbook of Floating-Point Arithmetic, 4.3 and 4.4); both are exact within the limits below.
 */
import { type Float, type FunctionBuilder, f32, f64, type I32, type I64, op } from "../../wasm/index.ts";
import type { RuntimeEnv } from "../runtime/define.ts";
import { BINARY64, FLAG, type Format, minExponent } from "./format.ts";

/** MXCSR bits: rounding control, and the mask of PE. */
const ROUNDING_AND_PM = 0x7000;
const PM = 0x1000;

const QUICK = ["add", "sub", "mul", "div", "sqrt"] as const;
type Quick = (typeof QUICK)[number];
const isQuick = (name: string): name is Quick => QUICK.some((q) => q === name);

type Real = Float;

/** Writes code that returns the result of `name` on a and b at once, where that is possible. */
export function quick(f: FunctionBuilder, env: RuntimeEnv, name: string, format: Format, a: I64, b: I64): void {
  if (!isQuick(name)) return;
  const double = format === BINARY64;
  const mxcsr = f.let(env.get("mxcsr"));
  f.if(mxcsr.and(ROUNDING_AND_PM).eq(PM), () => {
    const [x, y] = [f.let(realOf(double, a)), f.let(realOf(double, b))];
    const result = f.let(compute(name, x, y));
    const magnitude = result.abs();
    // Wide of overflow and underflow, also for the parts that the error is computed from.
    const largest = number(double, 2 ** (format.bias - format.precision - 3));
    const smallest = number(double, 2 ** (minExponent(format) + 2 * format.precision + 4));
    const zero = number(double, 0);
    const inRange = (v: Real) => v.abs().compare("lt", largest);
    const notSmall = (v: Real) => v.abs().compare("ge", smallest).or(v.compare("eq", zero));
    const operands = name === "sqrt" ? [y] : [x, y];
    let fit = magnitude.compare("lt", largest);
    for (const operand of operands) fit = fit.and(inRange(operand)).and(notSmall(operand));
    if (name === "mul")
      fit = fit.and(magnitude.compare("ge", smallest).or(x.compare("eq", zero)).or(y.compare("eq", zero)));
    if (name === "div")
      fit = fit.and(magnitude.compare("ge", smallest).or(x.compare("eq", zero))).and(y.compare("ne", zero));
    f.if(fit, () => {
      f.if(mxcsr.and(FLAG.PE).eqz(), () => {
        f.if(inexact(f, double, name, x, y, result), () => env.set("floatFlags", env.get("floatFlags").or(FLAG.PE)));
      });
      f.return(bitsOf(double, result));
    });
  });
}

const number = (double: boolean, value: number): Real => (double ? f64(value) : f32(value)) as Real;
const realOf = (double: boolean, bits: I64): Real =>
  (double ? op("f64.reinterpret_i64", bits) : op("f32.reinterpret_i32", bits.wrap())) as Real;
const bitsOf = (double: boolean, real: Real): I64 =>
  double ? (op("i64.reinterpret_f64", real) as I64) : (op("i32.reinterpret_f32", real) as I32).extendU();

function compute(name: Quick, x: Real, y: Real): Real {
  return name === "sqrt" ? y.sqrt() : x[name](y);
}

/** 1 where the rounded result is not the exact one. */
function inexact(f: FunctionBuilder, double: boolean, name: Quick, x: Real, y: Real, result: Real): I32 {
  const zero = number(double, 0);
  switch (name) {
    case "add":
    case "sub": {
      const addend = name === "add" ? y : f.let(y.neg());
      const other = f.let(result.sub(x));
      const error = x.sub(result.sub(other)).add(addend.sub(other));
      return error.compare("ne", zero);
    }
    case "mul":
      return productError(f, double, x, y, result).compare("ne", zero);
    // Exact where the divisor times the quotient, or the root times itself, is the operand.
    case "div":
      return notProduct(f, double, result, y, x);
    default:
      return notProduct(f, double, result, result, y);
  }
}

/** x * y - product, where the product is the rounded one. */
function productError(f: FunctionBuilder, double: boolean, x: Real, y: Real, product: Real): Real {
  if (!double) {
    const wide = (v: Real) => op("f64.promote_f32", v) as Real;
    return op("f32.demote_f64", wide(x).mul(wide(y)).sub(wide(product))) as Real;
  }
  const [xHigh, xLow] = split(f, x);
  const [yHigh, yLow] = split(f, y);
  const rest = xHigh.mul(yHigh).sub(product).add(xHigh.mul(yLow)).add(xLow.mul(yHigh));
  return f.let(rest.add(xLow.mul(yLow)));
}

function notProduct(f: FunctionBuilder, double: boolean, x: Real, y: Real, wanted: Real): I32 {
  const product = f.let(x.mul(y));
  const error = productError(f, double, x, y, product);
  return product.compare("ne", wanted).or(error.compare("ne", number(double, 0)));
}

/** Two numbers of at most 26 bits whose sum a binary64 number is (Veltkamp). */
function split(f: FunctionBuilder, x: Real): [Real, Real] {
  const large = f.let(x.mul(f64(2 ** 27 + 1) as Real));
  const high = f.let(large.sub(large.sub(x)));
  return [high, f.let(x.sub(high))];
}

/** Conversion of binary64 to binary32, likewise. */
export function quickDemote(f: FunctionBuilder, env: RuntimeEnv, bits: I64): void {
  const mxcsr = f.let(env.get("mxcsr"));
  const x = f.let(realOf(true, bits));
  const result = f.let(op("f32.demote_f64", x) as Real);
  const magnitude = result.abs();
  const middle = magnitude.compare("ge", f32(2 ** -120) as Real).and(magnitude.compare("lt", f32(2 ** 120) as Real));
  const fit = mxcsr
    .and(ROUNDING_AND_PM)
    .eq(PM)
    .and(middle.or(x.compare("eq", f64(0) as Real)));
  f.if(fit, () => {
    f.if((op("f64.promote_f32", result) as Real).compare("ne", x), () =>
      env.set("floatFlags", env.get("floatFlags").or(FLAG.PE)),
    );
    f.return(bitsOf(false, result));
  });
}

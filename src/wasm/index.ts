export * from "./bytes.ts";
export * from "./expression.ts";
export {
  type Callable,
  FunctionBuilder,
  type IndirectType,
  type Label,
  type Lent,
  Local,
  type Signature,
} from "./function.ts";
export * from "./module.ts";
export * from "./opcodes.ts";

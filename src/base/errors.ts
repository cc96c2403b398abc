/**
 * Host errors: what went wrong outside the guest. `code` is stable and dotted
 * (`kernel.truncated`), `message` names what was wrong and what to do.
 * Guest faults are architectural events and never travel this way.
 */
export class VivError extends Error {
  override readonly name = "VivError";
  readonly code: string;

  constructor(code: string, message: string, options?: ErrorOptions) {
    super(message, options);
    this.code = code;
  }
}

/** How much `viv` says of itself, on standard error. */
export interface Verbosity {
  /** Nothing but errors. */
  readonly quiet: boolean;
  /** The guest's console too, and where an error came from. */
  readonly verbose: boolean;
  /** What is asked for beside the guest's own output comes as JSON. */
  readonly json?: boolean;
}

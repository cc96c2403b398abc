/** How much `viv` says of itself, on standard error. */
export interface Verbosity {
  /** Nothing but errors. */
  readonly quiet: boolean;
  /** The guest's console too, and where an error came from. */
  readonly verbose: boolean;
}

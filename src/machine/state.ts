/**
 * State is sections: a device keeps all that a snapshot must hold in one plain object (`state`) and says
 * under which name and version. What is not saved (wires, back ends, pending timers that are
 * derived from the state) lives outside that object and is rebuilt by `restore`.
 */
export interface Section<State> {
  readonly section: { readonly name: string; readonly version: number };
  readonly state: State;
  /** Takes a saved state over and rebuilds what derives from it. */
  restore(state: State): void;
}

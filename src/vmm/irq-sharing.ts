/**
 * One interrupt wire for several devices: it is high while any of them drives it, as the open collectors of COM1 and COM3
 * on a PC's IRQ 4 make it.
 */
import type { IrqLine } from "../machine/ports.ts";

export const sharedLine = (line: IrqLine, devices: number): IrqLine[] => {
  const driven = new Set<number>();
  return Array.from({ length: devices }, (_, device) => ({
    set(high) {
      if (high) driven.add(device);
      else driven.delete(device);
      line.set(driven.size > 0);
    },
  }));
};

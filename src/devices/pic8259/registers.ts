/** Command words of the 8259A pair: Intel 8259A data sheet; ELCR as in the 82371AB (PIIX4), section 4.2.5. */

/** Which IRQ of the master the slave's INT output is wired to. */
export const CASCADE = 2;

/** ICW1: starts initialisation (bit 4 set). */
export const ICW1 = { marker: 0x10, single: 0x02, needsIcw4: 0x01 } as const;
export const ICW2_VECTOR = 0xf8;
export const ICW4 = { specialFullyNested: 0x10, autoEoi: 0x02 } as const;

/** OCW2: end of interrupt and rotation; the command is in bits 7:5. */
export const OCW2 = {
  clearRotateOnAutoEoi: 0,
  nonSpecificEoi: 1,
  specificEoi: 3,
  setRotateOnAutoEoi: 4,
  rotateOnNonSpecificEoi: 5,
  setPriority: 6,
  rotateOnSpecificEoi: 7,
} as const;

/** OCW3 (bit 3 set): special mask mode, poll, and which register the command port reads. */
export const OCW3 = {
  marker: 0x08,
  specialMaskEnable: 0x40,
  specialMask: 0x20,
  poll: 0x04,
  select: 0x02,
  isr: 0x01,
} as const;

/** IRQs that may be made level-triggered. 0, 1, 2, 8 and 13 are always edge. */
export const ELCR_WRITABLE = [0xf8, 0xde] as const;

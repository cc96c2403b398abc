/** Ports and control words of the 8254: Intel 82C54 data sheet; port 0x61 as in the 82371AB (PIIX4), section 4.2.8. */

/** Offsets: the three counters at 0 to 2, the control word at 3. */
export const PIT_CHANNELS = 3;
export const PIT_CONTROL = 3;

/** The input clock of all channels on a PC: a third of the NTSC colour carrier. */
export const PIT_HZ = 1_193_182;

/** Control word: SC in bits 7:6, RW in 5:4, M in 3:1, BCD in 0. */
export const CONTROL = { channelShift: 6, accessShift: 4, modeShift: 1, bcd: 0x01 } as const;
/** SC value of the read-back command, RW value of the counter latch command. */
export const READ_BACK_CHANNEL = 3;
export const ACCESS = { latch: 0, low: 1, high: 2, both: 3 } as const;

/** Read-back command: bits that are low ask for the count or the status; bit 1 << (channel + 1) selects a channel. */
export const READ_BACK = { noCount: 0x20, noStatus: 0x10 } as const;
/** Status byte: OUT and null count above the control word's low six bits. */
export const STATUS = { out: 0x80, nullCount: 0x40 } as const;

/** Port 0x61. */
export const PORT_61 = { gate2: 0x01, speaker: 0x02, writable: 0x0f, refresh: 0x10, out2: 0x20 } as const;
/** The refresh bit toggles with each refresh request of the original PC's memory, in nanoseconds. */
export const REFRESH_NS = 15_085;

/**
 * The RTC's registers and the time they stand for: BCD or binary, 12 or 24 hours (MC146818A, "Time,
 * Calendar, and Alarm Locations"). Times are whole seconds since 1970-01-01T00:00Z; the clock runs in UTC.
 */
import { B, type TIME_REGISTERS } from "./registers.ts";

export type TimeRegisters = Record<(typeof TIME_REGISTERS)[number], number>;

const PM = 0x80;
export const DAY_SECONDS = 86400;

const encode = (value: number, mode: number): number =>
  mode & B.BINARY ? value : ((Math.floor(value / 10) % 10) << 4) | (value % 10);

const decode = (value: number, mode: number): number => (mode & B.BINARY ? value : (value >> 4) * 10 + (value & 0x0f));

const encodeHour = (hour: number, mode: number): number => {
  if (mode & B.HOURS24) return encode(hour, mode);
  return encode(hour % 12 === 0 ? 12 : hour % 12, mode) | (hour >= 12 ? PM : 0);
};

const decodeHour = (value: number, mode: number): number => {
  if (mode & B.HOURS24) return decode(value, mode);
  return (decode(value & ~PM, mode) % 12) + (value & PM ? 12 : 0);
};

export const toRegisters = (time: number, mode: number): TimeRegisters => {
  const date = new Date(time * 1000);
  const year = date.getUTCFullYear();
  return {
    seconds: encode(date.getUTCSeconds(), mode),
    minutes: encode(date.getUTCMinutes(), mode),
    hours: encodeHour(date.getUTCHours(), mode),
    weekday: encode(date.getUTCDay() + 1, mode),
    day: encode(date.getUTCDate(), mode),
    month: encode(date.getUTCMonth() + 1, mode),
    year: encode(year % 100, mode),
    century: encode(Math.floor(year / 100), mode),
  };
};

/** Values outside their range carry over into the next field, so that any bytes are some time. */
export const fromRegisters = (registers: TimeRegisters, mode: number): number => {
  const value = (name: keyof TimeRegisters): number => decode(registers[name], mode);
  const date = new Date(0);
  date.setUTCFullYear(value("century") * 100 + value("year"), value("month") - 1, value("day"));
  date.setUTCHours(decodeHour(registers.hours, mode), value("minutes"), value("seconds"));
  return date.getTime() / 1000;
};

export interface Alarm {
  readonly seconds: number;
  readonly minutes: number;
  readonly hours: number;
}

/** Alarm bytes from 0xc0 match any value. */
const ANY = 0xc0;
const matches = (alarm: number, value: number): boolean => alarm >= ANY || alarm === value;

/** The first second after `time` at which the alarm is due; Infinity where its bytes match no time of day. */
export const nextAlarm = (time: number, alarm: Alarm, mode: number): number => {
  const last = time + DAY_SECONDS;
  let at = time + 1;
  while (at <= last) {
    const ofDay = ((at % DAY_SECONDS) + DAY_SECONDS) % DAY_SECONDS;
    const [hour, minute, second] = [Math.floor(ofDay / 3600), Math.floor(ofDay / 60) % 60, ofDay % 60];
    if (!matches(alarm.hours, encodeHour(hour, mode))) at += 3600 - (ofDay % 3600);
    else if (!matches(alarm.minutes, encode(minute, mode))) at += 60 - second;
    else if (!matches(alarm.seconds, encode(second, mode))) at += 1;
    else return at;
  }
  return Number.POSITIVE_INFINITY;
};

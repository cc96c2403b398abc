/** What can be asked of a guest by those who look inside, over its control socket. */
import { controlRequest } from "../registry/requests.ts";
import { choice, count, flag, list, number, optional, record, text } from "../registry/shape.ts";
import { INSPECTION_NAMES } from "./inspections.ts";
import { RECORD_EVENT_NAMES, WATCH_SECONDS } from "./watch-options.ts";

/** PATH_MAX of Linux. */
const path = text(4096);
/** Holes of a file that are told one by one. */
const MOST_HOLES = 100_000;
/** Shortest time between two samples, and longest: 10 us, an hour. */
const PERIOD = { least: 1_000, most: 3.6e12 } as const;

/** How long is watched, where that is known. */
const UNTIL = { seconds: optional(number(WATCH_SECONDS.least, WATCH_SECONDS.most)) } as const;

export const LOOK = {
  /** Rows as JSON. */
  inspect: controlRequest("inspect", {
    parameters: record({
      what: choice(...INSPECTION_NAMES),
      pid: optional(count()),
      path: optional(path),
    }),
    output: ["rows"],
  }),
  /** A file's bytes; what is not in memory is left out, and told. */
  readFile: controlRequest("read-file", {
    parameters: record({ path }),
    output: ["bytes"],
    answer: record({ holes: list(record({ offset: count(), length: count(), why: text() }), MOST_HOLES) }),
  }),
  /** Samples until the client says a word, or for some time: `parts` are profiles and what goes with them (parts.ts). */
  record: controlRequest("record", {
    parameters: record({
      ...UNTIL,
      event: choice(...RECORD_EVENT_NAMES),
      period: number(PERIOD.least, PERIOD.most),
      callGraph: flag,
      every: number(0, 3_600_000),
    }),
    message: record({ stop: flag }),
    output: ["parts"],
  }),
  /** Counts exits until the client says a word, or for some time; the report is JSON. */
  exits: controlRequest("exits", {
    parameters: record(UNTIL),
    message: record({ stop: flag }),
    output: ["report"],
  }),
} as const;

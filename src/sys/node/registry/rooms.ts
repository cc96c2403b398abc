/** What a guest of this host can be asked, room by room; loaded when somebody connects to a guest for the first time. */
import { type ControlRoom, controlGuest } from "../../../vmm/registry/guest-control.ts";
import { lookInside } from "./look-room.ts";

export const CONTROL_ROOMS: readonly ControlRoom[] = [controlGuest, lookInside];

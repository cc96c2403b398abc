/** What a guest of this host can be asked, room by room; loaded when somebody connects to a guest for the first time. */

import { lookInside } from "../../../vmm/observer/room.ts";
import { type ControlRoom, controlGuest } from "../../../vmm/registry/guest-control.ts";

export const CONTROL_ROOMS: readonly ControlRoom[] = [controlGuest, lookInside];

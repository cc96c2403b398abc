/** Requests of those who look inside: passed on to the guest's observer, and what it finds passed back. */
import { encodeUtf8 } from "../../base/index.ts";
import type { ControlRoom } from "../registry/guest-control.ts";
import { encodePart } from "./parts.ts";
import { LOOK } from "./requests.ts";

/** How long what the guest says of itself is shown before it is read again. */
const CLAIMS_AGE_MS = 5_000;

export const lookInside: ControlRoom = (guest, controls) => {
  const { entry, observer } = guest;

  if (!entry.opaque) {
    let claims: { hostname?: string; kernel?: string } = {};
    let readAt = Number.NEGATIVE_INFINITY;
    guest.claims = () => {
      if (guest.now() - readAt > CLAIMS_AGE_MS) {
        readAt = guest.now();
        void observer()
          .then((thread) => thread.order({ kind: "inspect", what: "names" }).answer)
          .then(
            (names) => {
              claims = names as typeof claims;
            },
            // It still boots, or is no Linux.
            () => undefined,
          );
      }
      return claims;
    };
  }

  controls.handle(LOOK.inspect, async ({ parameters, output }) => {
    const rows = await (await observer()).order({ kind: "inspect", ...parameters }).answer;
    await output.rows.write(encodeUtf8(JSON.stringify(rows)));
    return {};
  });
  controls.handle(LOOK.readFile, async ({ parameters, output }) => {
    const { answer } = (await observer()).order({ kind: "cat", ...parameters }, ({ bytes }) =>
      output.bytes.write(bytes),
    );
    return (await answer) as { holes: { offset: number; length: number; why: string }[] };
  });
  controls.handle(LOOK.record, async ({ parameters, output, onMessage, onCancel }) => {
    const under = (await observer()).order({ kind: "record", ...parameters }, async (part) => {
      for (const piece of encodePart(part)) await output.parts.write(piece);
    });
    onMessage(() => under.stop());
    onCancel(() => under.stop());
    await under.answer;
    return {};
  });
  controls.handle(LOOK.exits, async ({ parameters, output, onMessage, onCancel }) => {
    const under = (await observer()).order({ kind: "exits", ...parameters });
    onMessage(() => under.stop());
    onCancel(() => under.stop());
    await output.report.write(encodeUtf8(JSON.stringify(await under.answer)));
    return {};
  });
};

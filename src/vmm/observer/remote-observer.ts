/** The thread that looks into a guest of another process: orders and what comes of them go over the guest's control socket. */
import { concat, decodeUtf8 } from "../../base/index.ts";
import type { ClientConnection } from "../registry/client.ts";
import type { GuestObserver, ObserverOrder, OrderUnderWay, PartListener } from "./orders.ts";
import { PartReader } from "./parts.ts";
import { LOOK } from "./requests.ts";

export class RemoteObserver implements GuestObserver {
  readonly #connection: ClientConnection;

  constructor(connection: ClientConnection) {
    this.#connection = connection;
  }

  order(order: ObserverOrder, onPart: PartListener = () => undefined): OrderUnderWay {
    switch (order.kind) {
      case "inspect": {
        const { kind: _kind, ...parameters } = order;
        const json = new Json();
        const { answer, cancel } = this.#connection.request(LOOK.inspect, parameters, { output: { rows: json.take } });
        return { answer: answer.then(json.value), stop: cancel };
      }
      case "cat": {
        const bytes = (data: Uint8Array) => onPart({ name: "bytes", bytes: data.slice() });
        const { path } = order;
        const { answer, cancel } = this.#connection.request(LOOK.readFile, { path }, { output: { bytes } });
        return { answer, stop: cancel };
      }
      case "record": {
        const { kind: _kind, ...parameters } = order;
        const reader = new PartReader((part) => void onPart(part));
        const parts = (data: Uint8Array) => reader.take(data);
        const { answer, send } = this.#connection.request(LOOK.record, parameters, { output: { parts } });
        return { answer, stop: () => send({ stop: true }) };
      }
      case "exits": {
        const { kind: _kind, ...parameters } = order;
        const json = new Json();
        const { answer, send } = this.#connection.request(LOOK.exits, parameters, { output: { report: json.take } });
        return { answer: answer.then(json.value), stop: () => send({ stop: true }) };
      }
    }
  }
}

/** A stream that is one value. */
class Json {
  readonly #pieces: Uint8Array[] = [];

  readonly take = (data: Uint8Array): void => {
    this.#pieces.push(data.slice());
  };

  readonly value = (): unknown => JSON.parse(decodeUtf8(concat(this.#pieces)));
}

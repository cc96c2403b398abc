/** A socket as the port of a control connection. */
import type { Socket } from "node:net";
import type { Connection, ControlPort } from "../../../vmm/registry/connection.ts";

/** Bytes for a client that does not read, until nothing more is read from it either: what it asks for must not pile up. */
const MOST_UNREAD = 1024 * 1024;

/** The port of a socket, and what goes on with it. `patient`: the other end may be slow, and then is not listened to. */
export function portOf(socket: Socket, patient: boolean): ControlPort {
  return {
    send: (frame) => {
      if (socket.writable) socket.write(frame);
      if (!patient || socket.writableLength <= MOST_UNREAD || socket.isPaused()) return;
      socket.pause();
      socket.once("drain", () => socket.resume());
    },
    close: () => socket.destroySoon(),
    encode: (text) => Buffer.from(text),
    decode: (bytes) => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString(),
  };
}

/** Brings what comes to the connection. */
export function join(socket: Socket, connection: Connection): void {
  socket.on("data", (data: Buffer) => connection.receive(data));
  // "close" follows, and says enough.
  socket.on("error", () => undefined);
  socket.on("close", () => connection.closed());
}

/** The thread of a copier. The port in its first message leads to its vCPU's thread. */
import { type MessagePort, parentPort } from "node:worker_threads";
import { type CopierStart, type CopyOrders, serveCopies } from "../../cpu/templates/copier-thread.ts";

parentPort?.once("message", (port: MessagePort) => {
  port.once("message", (start: CopierStart) => {
    const copy = serveCopies(start, (batch) => port.postMessage(batch));
    port.on("message", (orders: CopyOrders) => copy(orders));
  });
});

/**
 * Runs two commands in the default guest and says what came of them.
 * After `npm run build`: node dist/examples/run.js
 */
import { Vm } from "vivarium";

// The machine is switched off at the end of the block, also when something throws.
await using vm = await Vm.start({ memory: "256M" });

// Output can be passed on as it comes …
await vm.exec(["uname", "-srm"], { onStdout: (data) => void process.stdout.write(Uint8Array.from(data)) });

// … or gathered. Input is bytes, or anything that yields them.
const decoder = new TextDecoder();
let sorted = "";
const { exitCode } = await vm.exec(["sort", "-n"], {
  stdin: new TextEncoder().encode("10\n9\n8\n"),
  onStdout: (data) => {
    sorted += decoder.decode(data, { stream: true });
  },
});
console.log(`sort ended with ${exitCode} and wrote ${JSON.stringify(sorted)}`);

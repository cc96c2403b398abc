/**
 * Boots the default guest again and again: each time a command runs in it and answers, then it powers itself off. One
 * boot that fails in any way ends the run with status 1.
 *
 *   npm run soak -- --boots 200
 */
import { parseArgs } from "node:util";
import { Vm } from "#dist/sys/node/index.js";

const { values } = parseArgs({
  options: { boots: { type: "string", default: "200" }, seconds: { type: "string", default: "120" } },
});
const boots = Number(values.boots);
const limit = Number(values.seconds) * 1000;
if (!Number.isInteger(boots) || boots < 1 || !(limit > 0)) {
  process.stderr.write("soak: --boots and --seconds take a positive number\n");
  process.exit(2);
}

/** Rejects when a boot hangs. */
function within<T>(what: string, promise: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what} took more than ${limit / 1000} s`)), limit);
  });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function boot(number: number): Promise<number> {
  const started = performance.now();
  await using vm = await within("the start", Vm.start({ memory: "256M" }));
  let output = "";
  const { exitCode } = await within(
    "the command",
    vm.exec(["sh", "-c", `echo boot ${number}; exit 7`], {
      onStdout: (bytes) => {
        output += Buffer.from(bytes).toString();
      },
    }),
  );
  if (exitCode !== 7 || output !== `boot ${number}\n`) throw new Error(`answered ${exitCode} and "${output}"`);
  const elapsed = performance.now() - started;
  const off = vm.exec(["poweroff", "-f"]).catch(() => undefined);
  const end = await within("powering off", vm.wait());
  await off;
  if (end.reason !== "power-off") throw new Error(`ended by ${end.reason}`);
  return elapsed;
}

const times: number[] = [];
for (let i = 1; i <= boots; i++) {
  try {
    times.push(await boot(i));
  } catch (error) {
    process.stderr.write(`soak: boot ${i} of ${boots} failed: ${(error as Error).message}\n`);
    process.exit(1);
  }
  if (i % 10 === 0) process.stdout.write(`${i} of ${boots} boots\n`);
}
times.sort((a, b) => a - b);
const at = (part: number) => (times[Math.floor((times.length - 1) * part)]! / 1000).toFixed(2);
process.stdout.write(
  `${boots} boots without a failure; to the command's answer: median ${at(0.5)} s, slowest ${at(1)} s\n`,
);

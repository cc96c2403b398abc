/**
 * Boots the default guest with every instruction run twice, compiled and interpreted, and all state compared: some commands run in it,
 * and it powers itself off. A difference ends the command with status 1 and says where it is.
 *
 *   npm run lockstep                                 compiled when hot, compared every 5000 instructions
 *   npm run lockstep -- --jit forced --slice 100     all compiled, compared more often
 */
import { parseArgs } from "node:util";
import { type MachineConfig, Vm } from "#dist/sys/node/index.js";

const { values } = parseArgs({
  options: {
    jit: { type: "string", default: "on" },
    slice: { type: "string", default: "5000" },
    memory: { type: "string", default: "256M" },
    cpu: { type: "string", default: "max" },
  },
});

/** Integer and floating point, pipes, forks, files, and what changes code and page tables. */
const SCRIPT = `
uname -a
seq 1 2000 | sort -n | md5sum
awk 'BEGIN { for (i = 1; i < 20000; i++) s += i * 1.5 / (i + 7); print s }'
i=0; while [ $i -lt 100 ]; do true | cat; i=$((i + 1)); done
dd if=/dev/zero bs=4k count=500 2>/dev/null | gzip | gunzip | sha256sum
find / -xdev | wc -l
`;

const started = performance.now();
const config = { jit: values.jit, lockstep: values.slice, memory: values.memory, cpu: values.cpu } as MachineConfig;
try {
  await using vm = await Vm.start({ ...config, onReset: "exit" });
  const { exitCode } = await vm.exec(["sh", "-c", SCRIPT], {
    onStdout: (bytes) => void process.stdout.write(bytes),
    onStderr: (bytes) => void process.stderr.write(bytes),
  });
  const off = vm.exec(["poweroff", "-f"]).catch(() => undefined);
  const end = await vm.wait();
  await off;
  if (exitCode !== 0 || end.reason !== "power-off") throw new Error(`status ${exitCode}, ended by ${end.reason}`);
  process.stdout.write(`no difference in ${((performance.now() - started) / 1000).toFixed(0)} s\n`);
} catch (error) {
  process.stderr.write(`lockstep: ${(error as Error).message}\n`);
  process.exitCode = 1;
}

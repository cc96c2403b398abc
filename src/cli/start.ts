/** The `viv` command, loaded. What it does is loaded when a machine's workers, which take longer to load, are on their way. */
const argv = process.argv.slice(2);
/** Another process runs that guest. To be wrong here costs time, nothing else. */
const detached = /^(--detach|-[qv]*d[qv]*)$/;
const end = argv.indexOf("--");

async function start(): Promise<void> {
  if (argv[0] === "run" && !argv.slice(0, end < 0 ? argv.length : end).some((word) => detached.test(word))) {
    const [{ makeWorkersAhead }, { ENGINE_FLAGS }] = await Promise.all([
      import("../sys/node/worker.ts"),
      import("./v8-flags.ts"),
    ]);
    makeWorkersAhead(ENGINE_FLAGS);
  }
  const { runArguments } = await import("./command.ts");
  process.exit(await runArguments(argv));
}

void start();

/**
 * Looks into a guest from outside, and profiles it.
 * After `npm run build`: node dist/examples/inside.js [DIRECTORY], where the recording goes
 */
import { exportProfile, saveRecording, Vm } from "vivarium";

await using vm = await Vm.start({ memory: "256M" });
await vm.ready;
const directory = process.argv[2] ?? "perf.data";
const busy = vm.run(["sh", "-c", "while true; do md5sum /bin/busybox >/dev/null; done"]);

// What the README shows begins here.
const { rows } = await vm.inspect("tasks");
for (const { pid, comm, state } of rows) console.log(pid, comm, state);

const [thread] = await vm.inspect("stack", 1); // where its first process waits
for (const { name, from } of thread!.frames) console.log(name, from);

const passwd = await vm.readFile("/etc/passwd").bytes();

const recording = await vm.record({ seconds: 2 }); // or until a signal; frequency, event, …
await saveRecording(directory, recording); // for viv perf report, and perf report
for await (const part of exportProfile(recording.profile, "collapsed")) process.stdout.write(part);

const { exits } = await vm.countExits({ seconds: 1 });
for (const { reason, count, time } of exits) console.log(reason, count, `${time} ns`);
// And ends here.

console.log(new TextDecoder().decode(passwd));

busy.signal("KILL");
await busy.result;

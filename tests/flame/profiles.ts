/** Profiles that are made up: like those of two busy guests, random ones, and ones that a hostile guest would leave. */
import { ProfileBuilder } from "../../src/perf/builder.ts";
import type { DsoKind, Mode, Profile, ProfileInfo } from "../../src/perf/profile.ts";

/** Mulberry32: numbers from 0 to below 1, the same for each seed. */
export function random(seed: number): () => number {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

export const INFO: ProfileInfo = {
  event: "cpu-clock",
  unit: "ns",
  period: 1_001_001,
  startedAt: 1_760_000_000_000,
  duration: 10e9,
  hostname: "builder",
  hostKernel: "6.1.0-56-amd64",
  cpu: "Intel(R) Xeon(R)",
  cpus: 8,
  command: ["viv", "perf", "record", "-g", "-a"],
  version: "0.1.0",
  lost: 0,
};

/** Chains of functions, `kind:dso:function`, outermost first, with how often each is met. */
type Chain = readonly [often: number, mode: Mode, comm: string, ...frames: string[]];

const USER = [
  "user:/usr/bin/nginx:_start",
  "user:/usr/lib/x86_64-linux-gnu/libc.so.6:__libc_start_main",
  "user:/usr/bin/nginx:main",
];
const WORKER = [
  ...USER,
  "user:/usr/bin/nginx:ngx_worker_process_cycle",
  "user:/usr/bin/nginx:ngx_process_events_and_timers",
];
const HTTP = [
  ...WORKER,
  "user:/usr/bin/nginx:ngx_epoll_process_events",
  "user:/usr/bin/nginx:ngx_http_process_request_line",
];
const kernel = (...names: string[]): string[] => names.map((name) => `kernel:[kernel.kallsyms]:${name}`);
const SYSCALL = kernel("entry_SYSCALL_64_after_hwframe", "do_syscall_64");
const SEND = kernel(
  "__x64_sys_sendto",
  "__sys_sendto",
  "sock_sendmsg",
  "tcp_sendmsg",
  "tcp_sendmsg_locked",
  "tcp_push",
  "tcp_write_xmit",
);
const EXT4 = (...names: string[]): string[] => names.map((name) => `module:ext4:${name}`);
const SH = ["user:/bin/busybox:[stripped]"];

const CHAINS: readonly Chain[] = [
  [60, "guest.user", "nginx", ...HTTP, "user:/usr/bin/nginx:ngx_http_parse_request_line"],
  [
    45,
    "guest.user",
    "nginx",
    ...HTTP,
    "user:/usr/bin/nginx:ngx_http_core_run_phases",
    "user:/usr/lib/x86_64-linux-gnu/libc.so.6:__memcpy_avx_unaligned_erms",
  ],
  [
    25,
    "guest.user",
    "nginx",
    ...HTTP,
    "user:/usr/bin/nginx:ngx_http_core_run_phases",
    "user:/usr/lib/x86_64-linux-gnu/libcrypto.so.3:sha256_block_data_order",
  ],
  [
    70,
    "guest.kernel",
    "nginx",
    ...HTTP,
    ...SYSCALL,
    ...SEND,
    ...kernel("__tcp_transmit_skb", "ip_queue_xmit", "__dev_queue_xmit", "dev_hard_start_xmit"),
    "module:virtio_net:start_xmit",
  ],
  [
    30,
    "guest.kernel",
    "nginx",
    ...HTTP,
    ...SYSCALL,
    ...SEND,
    ...kernel("skb_copy_from_linear", "copy_user_generic_unrolled"),
  ],
  [
    35,
    "host",
    "nginx",
    ...HTTP,
    ...SYSCALL,
    ...SEND,
    ...kernel("__tcp_transmit_skb", "ip_queue_xmit", "__dev_queue_xmit", "dev_hard_start_xmit"),
    "module:virtio_net:start_xmit",
    "label:vivarium:exit: virtio-net notify",
    "host:node:NetDevice.transmit",
  ],
  [
    40,
    "guest.kernel",
    "nginx",
    ...WORKER,
    ...SYSCALL,
    ...kernel("__x64_sys_epoll_wait", "do_epoll_wait", "schedule_hrtimeout_range"),
  ],
  [
    80,
    "guest.kernel",
    "postgres",
    ...SYSCALL,
    ...kernel("__x64_sys_pread64", "vfs_read", "new_sync_read"),
    ...EXT4("ext4_file_read_iter"),
    ...kernel("generic_file_read_iter", "filemap_read", "copy_page_to_iter", "copyout"),
  ],
  [
    55,
    "guest.kernel",
    "postgres",
    ...SYSCALL,
    ...kernel("__x64_sys_fsync", "vfs_fsync_range"),
    ...EXT4("ext4_sync_file", "ext4_fc_commit", "jbd2_complete_transaction"),
    ...kernel("io_schedule", "schedule", "__schedule", "finish_task_switch"),
  ],
  [
    50,
    "guest.user",
    "postgres",
    "user:/usr/lib/postgresql/15/bin/postgres:PostmasterMain",
    "user:/usr/lib/postgresql/15/bin/postgres:ExecutorRun",
    "user:/usr/lib/postgresql/15/bin/postgres:ExecScan",
    "user:/usr/lib/postgresql/15/bin/postgres:ExecInterpExpr",
  ],
  [30, "guest.user", "sh", ...SH, ...SH, ...SH],
  [
    20,
    "guest.kernel",
    "sh",
    ...SH,
    ...SYSCALL,
    ...kernel("__x64_sys_clone", "kernel_clone", "copy_process", "dup_mm", "copy_page_range"),
  ],
  [
    25,
    "guest.kernel",
    "swapper",
    ...kernel(
      "secondary_startup_64_no_verify",
      "cpu_startup_entry",
      "do_idle",
      "default_idle_call",
      "native_safe_halt",
    ),
  ],
  [15, "host", "", "host:node:Machine.run", "label:vivarium:compile region", "host:node:Compiler.emit"],
  [
    6,
    "guest.kernel",
    "ksoftirqd/0",
    ...kernel(
      "ret_from_fork",
      "kthread",
      "smpboot_thread_fn",
      "run_ksoftirqd",
      "__do_softirq",
      "net_rx_action",
      "__napi_poll",
    ),
    "module:virtio_net:virtnet_poll",
  ],
];

export interface Shape {
  readonly samples: number;
  readonly seed: number;
  readonly guests?: readonly string[];
  readonly vcpus?: number;
  /** How often chains of this number are met, instead of what is usual. */
  readonly often?: Readonly<Record<number, number>>;
  /** Different leaf functions below each chain: makes stacks many. */
  readonly leaves?: number;
  readonly info?: Partial<ProfileInfo>;
}

class Making {
  readonly builder = new ProfileBuilder();
  readonly guests: readonly number[];

  constructor(names: readonly string[], vcpus: number) {
    this.guests = names.map((name, guest) =>
      this.builder.guest({
        name,
        hostPid: 4000 + guest,
        vcpuThreads: Array.from({ length: vcpus }, (_, vcpu) => 4010 + 10 * guest + vcpu),
        hostname: name,
        kernelRelease: "6.1.0-56-cloud-amd64",
        opaque: false,
      }),
    );
  }

  frame(guest: number, text: string): number {
    const [kind, dsoName, ...rest] = text.split(":") as [DsoKind, string, ...string[]];
    const name = rest.join(":");
    const isHost = kind === "host" || kind === "label";
    const dso = this.builder.dso({ kind, guest: isHost ? -1 : guest, name: dsoName });
    const address = 0x1000 + name.length;
    const symbol = name === "[stripped]" ? -1 : this.builder.symbol({ name, dso, start: address, size: 64 });
    const mode: Mode = isHost ? "host" : kind === "user" ? "guest.user" : "guest.kernel";
    return this.builder.frame({ address, offset: address, dso, symbol, mode });
  }

  stack(guest: number, frames: readonly string[]): number {
    return frames.reduce((caller, text) => this.builder.stack(caller, this.frame(guest, text)), -1);
  }
}

/** Guests that serve and store; tasks take turns of some milliseconds, as they do. */
export function busyProfile({
  samples,
  seed,
  guests = ["web", "db"],
  vcpus = 2,
  often = {},
  leaves = 0,
  info = {},
}: Shape): Profile {
  const next = random(seed);
  const making = new Making(guests, vcpus);
  const { builder } = making;
  const weights = CHAINS.map(([usual], chain) => often[chain] ?? usual);
  const sum = weights.reduce((sum, one) => sum + one, 0);
  const pick = (): number => {
    let left = next() * sum;
    return Math.max(
      0,
      weights.findIndex((weight) => (left -= weight) < 0),
    );
  };
  const stacks = making.guests.map((guest) => CHAINS.map(([, , , ...frames]) => making.stack(guest, frames)));
  const leafFrames = making.guests.map((guest) =>
    Array.from({ length: leaves }, (_, leaf) =>
      making.frame(guest, `user:/opt/app:generated_function_${leaf}<T${leaf % 37}>`),
    ),
  );
  const tasks = making.guests.map((guest) =>
    CHAINS.map(([, , comm], chain) => builder.task({ guest, pid: 300 + (chain % 4), tid: 300 + chain, comm })),
  );
  const all = { ...INFO, duration: samples * INFO.period, ...info };
  const lanes = guests.length * vcpus;
  const rounds = Math.ceil(samples / lanes);
  for (let lane = 0; lane < lanes; lane++) {
    const guest = lane % guests.length;
    const step = all.duration / rounds;
    let [chain, turn] = [0, 0];
    for (let round = 0; round < rounds && builder.sampleCount < samples; round++) {
      if (turn-- <= 0) [chain, turn] = [pick(), Math.floor(next() * 12)];
      let stack = stacks[guest]![chain]!;
      const depth = leaves > 0 ? Math.floor(next() * 6) : 0;
      for (let down = 0; down < depth; down++)
        stack = builder.stack(stack, leafFrames[guest]![Math.floor(next() ** 3 * leaves)]!);
      builder.sample({
        time: round * step + next() * step * 0.5,
        stack,
        task: tasks[guest]![chain]!,
        vcpu: Math.floor(lane / guests.length),
        mode: all.event === "off-cpu" ? "idle" : CHAINS[chain]![1],
        weight: all.period,
      });
    }
  }
  return builder.build(all);
}

/** Any stacks, recursion among them, over few functions; any weights. */
export function randomProfile(seed: number, samples: number): Profile {
  const next = random(seed);
  const among = (count: number): number => Math.floor(next() * count);
  const making = new Making(["one", "two", "three"], 2);
  const kinds: readonly DsoKind[] = ["kernel", "module", "user", "host"];
  const stacks: number[][] = making.guests.map((guest) => {
    const frames = Array.from({ length: 9 }, (_, at) => making.frame(guest, `${kinds[at % 4]!}:dso${at % 3}:f${at}`));
    const stacks: number[] = [-1];
    for (let at = 0; at < 60; at++)
      stacks.push(making.builder.stack(stacks[among(stacks.length)]!, frames[among(frames.length)]!));
    return stacks;
  });
  for (let at = 0; at < samples; at++) {
    const guest = among(3);
    making.builder.sample({
      time: at * 1000 + among(900),
      stack: stacks[guest]![among(61)]!,
      task: making.builder.task({ guest, pid: 10 + among(3), tid: 10, comm: `t${among(3)}` }),
      vcpu: among(2),
      mode: (["guest.kernel", "guest.user", "host"] as const)[among(3)]!,
      weight: 1 + among(5),
    });
  }
  return making.builder.build({ ...INFO, duration: samples * 1000 });
}

/** What a guest may call things that wants to run in the reader's browser, or to fool the reader. */
export const HOSTILE_NAMES = [
  "</script><script>window.owned=1</script>",
  "<img src=x onerror='window.owned=1'>",
  "--><svg/onload=window.owned=1>",
  "]]>&lt;&#x3c;script&#x3e;\u2028\u2029",
  "\u202egnp.exe\u202c \u2066hidden\u2069 \u200bzero\u200d",
  "\x1b]0;title\x07\x1b[31mred\x00\x7f\x9b",
  "\ud800 lone \udfff halves",
  "__proto__",
  "constructor",
  "toString",
  "שלום עולם مرحبا",
  "漢字の関数名前",
  "e\u0301\u0301\u0301\u0301\u0301\u0301\u0301\u0301",
  "",
  " ",
  "x".repeat(200_000),
  "$\u{7b}window.owned=1}`;window.owned=1//",
  "javascript:window.owned=1",
] as const;

export function hostileProfile(): Profile {
  const making = new Making(["guest</title><script>window.owned=1</script>"], 1);
  const { builder } = making;
  const guest = making.guests[0]!;
  let stack = -1;
  let time = 0;
  for (const name of HOSTILE_NAMES) {
    const dso = builder.dso({ kind: "user", guest, name: `/bin/${name.slice(0, 100)}` });
    const symbol = builder.symbol({ name, dso, start: 1, size: 1 });
    stack = builder.stack(stack, builder.frame({ address: 1, offset: 1, dso, symbol, mode: "guest.user" }));
    const task = builder.task({ guest, pid: 1, tid: 1, comm: name.slice(0, 100) });
    for (let sample = 0; sample < 5; sample++) {
      builder.sample({ time: time++ * 1e6, stack, task, vcpu: 0, mode: "guest.user", weight: 1e6 });
    }
  }
  return builder.build({ ...INFO, duration: time * 1e6, hostname: HOSTILE_NAMES[1] });
}

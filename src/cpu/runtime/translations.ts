/**
 * What the TLBs hold: entering translations, choosing sets by privilege and address space, and forgetting (SDM vol. 3A, 4.10).
 *
 * Supervisor sets serve every address space: they keep global pages, and pages of the current PCID, which are noted in a log and
 * go when another is chosen. User sets stand in groups, one for each of the PCIDs used last. What a flush costs follows from what was
 * entered since the last one, not from the size of the TLB.
 */
import { type FunctionBuilder, type I32, type I64, i32, i64 } from "../../wasm/index.ts";
import {
  CODE_TLB_BASE,
  CODE_TLB_ENTRIES,
  CODE_TLB_ENTRY_SIZE,
  CODE_TLB_SET_SIZE,
  NO_TAG,
  SHARED,
  TLB_BASE,
  TLB_ENTRIES,
  TLB_ENTRY_SIZE,
  TLB_FILTER_SIZE,
  TLB_GLOBAL,
  TLB_GROUP,
  TLB_GROUPS,
  TLB_GROUPS_BASE,
  TLB_LOGGED,
  TLB_NONE,
  TLB_SET_SIZE,
} from "../memory-map.ts";
import { type RuntimeEnv, runtime } from "./define.ts";
import { PHYSICAL_BITS } from "./paging.ts";
import { codeTlbOffset, dataTlbOffset } from "./tlb.ts";

const CR0_AM = 0x4_0000;
const CR4_PCIDE = 0x2_0000;
const EFER_LMA = 0x400;
const CR4_SMAP = 0x20_0000;
const AC = 0x4_0000;
/** codeKey of 64-bit code. */
const KEY64 = 3;
/** In a group's header: it belongs to no PCID. */
const NO_PCID = -1;

/** Where the parts of an entry are that the sets' kinds keep in different places. */
const DATA_ENTRY = { size: TLB_ENTRY_SIZE, tags: [0, 8], flags: 20 } as const;
const CODE_ENTRY = { size: CODE_TLB_ENTRY_SIZE, tags: [0], flags: 12 } as const;
type EntryKind = typeof DATA_ENTRY | typeof CODE_ENTRY;

/** Pages of this size or larger are many entries; they are forgotten 4 MiB at a time. */
const REGION_SHIFT = 22;
const REGION_MASK = (1 << REGION_SHIFT) - 1;
const HUGE_SHIFT = 30;
/** Pages of 1 GiB that are told apart; a guest that uses more pays for it with whole flushes. */
const HUGE_PAGES = 8;

const forget = (f: FunctionBuilder, entry: I32, kind: EntryKind) => {
  for (const tag of kind.tags) f.store("i64.store", entry, i64(NO_TAG), tag);
};

/** Another number for the mapping of code: none was the same before. */
const nextCodeMap = (f: FunctionBuilder, env: RuntimeEnv): I32 => {
  const next = f.let(env.get("codeMapLast").add(1));
  env.set("codeMapLast", next);
  return next;
};

const GROUPS_END = TLB_GROUPS_BASE + TLB_GROUPS * TLB_GROUP.size;

function forGroups(f: FunctionBuilder, body: (group: I32) => void): void {
  const group = f.variable(i32(TLB_GROUPS_BASE));
  f.loop((again) => {
    body(group.get());
    group.set(group.get().add(TLB_GROUP.size));
    f.brIf(again, group.get().ltU(GROUPS_END));
  });
}

// ---- filters: sets of pages that were entered, with a few too many

/** Address of the byte of a filter, and the bit in it, for a number. */
const filterBit = (f: FunctionBuilder, filter: I32, number: I32): [I32, I32] => [
  f.let(filter.add(number.shrU(3).and(TLB_FILTER_SIZE - 1))),
  f.let(i32(1).shl(number.and(7))),
];
const addTo = (f: FunctionBuilder, filter: I32, number: I32): void => {
  const [at, bit] = filterBit(f, filter, number);
  f.store("i32.store8", at, f.loadExpr("i32.load8_u", at, 0).or(bit));
};
const mayHold = (f: FunctionBuilder, filter: I32, number: I32): I32 => {
  const [at, bit] = filterBit(f, filter, number);
  return f.let(f.loadExpr("i32.load8_u", at, 0).and(bit));
};
const pageNumber = (f: FunctionBuilder, linear: I64): I32 => f.let(linear.shrU(12).wrap());
const regionNumber = (f: FunctionBuilder, linear: I64): I32 => f.let(linear.shrU(REGION_SHIFT).wrap());

// ---- logs: numbers of the entries a flush has to forget

/** (log, where its length is, number). A number stands in a log once: the entry's flag says so. */
const logEntry = runtime("log_entry", "i32 i32 i32", "", (f) => {
  const [log, count, number] = [f.param(0, "i32").get(), f.param(1, "i32").get(), f.param(2, "i32").get()];
  const n = f.load("i32.load", count);
  f.store("i32.store16", log.add(n.shl(1)), number);
  f.store("i32.store", count, n.add(1));
});

/** (set, log, where its length is): forgets what the log names, but what has become global. */
const forgetLogged = (name: string, kind: EntryKind) =>
  runtime(name, "i32 i32 i32", "", (f) => {
    const [set, log, count] = [f.param(0, "i32").get(), f.param(1, "i32").get(), f.param(2, "i32").get()];
    const at = f.variable(log);
    const end = f.let(log.add(f.load("i32.load", count).shl(1)));
    f.while(
      () => at.get().ltU(end),
      () => {
        const entry = f.let(set.add(f.loadExpr("i32.load16_u", at.get(), 0).mul(kind.size)));
        const global = f.let(f.loadExpr("i32.load", entry, kind.flags).and(TLB_GLOBAL));
        f.if(global.eqz(), () => forget(f, entry, kind));
        f.store("i32.store", entry, global, kind.flags);
        at.set(at.get().add(2));
      },
    );
    f.store("i32.store", count, i32(0));
  });

// ---- entering

/** (linear address, host address less its low half, flags with the write right in bit 31, set): a page for data. */
const enterData = runtime("enter_data", "i64 i32 i32 i32", "", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const flags = f.let(f.param(2, "i32").get());
  const set = f.let(f.param(3, "i32").get());
  const offset = f.let(dataTlbOffset(f.let(linear.wrap())));
  const entry = f.let(set.add(offset));
  const page = f.let(linear.and(-4096));
  const number = f.let(offset.shrU(Math.log2(TLB_ENTRY_SIZE)));
  const old = f.let(f.load("i32.load", entry, DATA_ENTRY.flags).and(TLB_LOGGED));
  const user = f.let(set.geU(TLB_GROUPS_BASE));
  const global = f.let(flags.and(TLB_GLOBAL));
  f.store("i64.store", entry, page, 0);
  f.store(
    "i64.store",
    entry,
    f.choose(
      flags.ltS(0),
      () => page,
      () => i64(NO_TAG),
    ),
    8,
  );
  f.store("i32.store", entry, f.param(1, "i32").get(), 16);
  // In a user set what is global goes with the rest; INVLPG looks for it in other groups.
  f.if(global.and(user), () => env.set("userGlobal", i32(1)));
  f.if(old.eqz().and(global.eqz().or(user)), () => {
    f.if(
      user,
      () => f.call(env.fn("log_entry"), set.add(TLB_GROUP.dataLog), set.add(TLB_GROUP.dataCount), number),
      () => {
        const open = f.let(set.ne(TLB_BASE));
        const log = f.let(open.mul(SHARED.openLog - SHARED.dataLog).add(SHARED.dataLog));
        f.call(env.fn("log_entry"), log, f.let(open.shl(2).add(SHARED.dataCount)), number);
      },
    );
    f.store("i32.store", entry, global.and(user.eqz()).or(TLB_LOGGED), DATA_ENTRY.flags);
    f.return();
  });
  f.store("i32.store", entry, global.and(user.eqz()).or(old), DATA_ENTRY.flags);
});

/** (linear address of a page, its code page, 1 where it is global): a page for fetching. */
const enterCode = runtime("enter_code", "i64 i32 i32", "", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const set = f.let(env.get("codeTlb"));
  const offset = f.let(codeTlbOffset(f.let(linear.wrap())));
  const entry = f.let(set.add(offset));
  const user = f.let(set.ne(CODE_TLB_BASE));
  const global = f.let(f.param(2, "i32").get().and(TLB_GLOBAL));
  const group = f.let(env.get("tlbGroup"));
  const old = f.let(f.load("i32.load", entry, CODE_ENTRY.flags).and(TLB_LOGGED));
  f.store("i64.store", entry, linear, 0);
  f.store("i32.store", entry, f.param(1, "i32").get(), 8);
  f.if(global.and(user), () => env.set("userGlobal", i32(1)));
  const page = pageNumber(f, linear);
  const flags = f.let(global.and(user.eqz()).or(old));
  const number = f.let(offset.shrU(Math.log2(CODE_TLB_ENTRY_SIZE)));
  f.if(
    user,
    () => {
      addTo(f, f.let(group.add(TLB_GROUP.codeFilter)), page);
      f.if(old.eqz(), () => {
        f.call(env.fn("log_entry"), group.add(TLB_GROUP.codeLog), group.add(TLB_GROUP.codeCount), number);
      });
      f.store("i32.store", entry, i32(TLB_LOGGED), CODE_ENTRY.flags);
    },
    () => {
      addTo(f, i32(SHARED.codeFilter), page);
      f.store("i32.store", entry, flags, CODE_ENTRY.flags);
      f.if(old.or(global).eqz(), () => {
        f.call(env.fn("log_entry"), i32(SHARED.codeLog), i32(SHARED.codeCount), number);
        f.store("i32.store", entry, i32(TLB_LOGGED), CODE_ENTRY.flags);
      });
    },
  );
});

/** (linear address, 1 where it is global, log2 of the page's size): a page larger than 4 KiB translated it. */
const noteLarge = runtime("note_large", "i64 i32 i32", "", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const filter = f.choose(
    f.param(1, "i32").get(),
    () => i32(SHARED.largeFilter),
    () => f.let(env.get("tlbGroup").add(TLB_GROUP.largeFilter)),
  );
  addTo(f, filter, regionNumber(f, linear));
  f.if(f.param(2, "i32").get().ne(HUGE_SHIFT), () => f.return());
  f.if(f.callFor("i32", env.fn("is_huge"), linear), () => f.return());
  const n = f.load("i32.load", i32(SHARED.hugeCount));
  f.if(n.ltU(HUGE_PAGES), () => f.store("i64.store", n.shl(3), linear.shrU(HUGE_SHIFT), SHARED.hugePages));
  f.store("i32.store", i32(SHARED.hugeCount), n.add(n.leU(HUGE_PAGES)));
});

/** 1 where the address may have been translated by a page of 1 GiB. */
const isHuge = runtime("is_huge", "i64", "i32", (f) => {
  const page = f.let(f.param(0, "i64").get().shrU(HUGE_SHIFT));
  const n = f.load("i32.load", i32(SHARED.hugeCount));
  f.if(n.gtU(HUGE_PAGES), () => f.return(i32(1)));
  const at = f.variable(i32(0));
  f.while(
    () => at.get().ltU(n),
    () => {
      f.if(f.load("i64.load", at.get().shl(3), SHARED.hugePages).eq(page), () => f.return(i32(1)));
      at.set(at.get().add(1));
    },
  );
  f.return(i32(0));
});

// ---- choosing

/** Chooses sets by CPL, and by EFLAGS.AC where SMAP is on or alignment is checked. */
const updatePrivilege = runtime("update_privilege", "", "", (f, env) => {
  f.if(
    env.get("cpl").eq(3),
    () => {
      const group = f.let(env.get("tlbGroup"));
      const wrongMode = f
        .load("i32.load", group, TLB_GROUP.codeKey)
        .ne(env.get("codeKey"))
        .or(f.load("i32.load", group, TLB_GROUP.codeLimit).ne(env.get("codeLimit")));
      f.if(wrongMode, () => {
        f.call(env.fn("forget_user_code"), group);
        f.store("i32.store", group, env.get("codeKey"), TLB_GROUP.codeKey);
        f.store("i32.store", group, env.get("codeLimit"), TLB_GROUP.codeLimit);
      });
      const checked = env.get("eflags").and(AC).nez().and(env.get("cr0", "i64").wrap().and(CR0_AM).nez());
      env.set(
        "dataTlb",
        f.choose(
          checked,
          () => i32(TLB_NONE),
          () => group,
        ),
      );
      env.set("codeTlb", group.add(TLB_GROUP.code));
      env.set("codeMap", f.load("i32.load", group, TLB_GROUP.codeMap));
    },
    () => {
      const wrongMode = f
        .load("i32.load", i32(SHARED.codeKey))
        .ne(env.get("codeKey"))
        .or(f.load("i32.load", i32(SHARED.codeLimit)).ne(env.get("codeLimit")));
      f.if(wrongMode, () => {
        f.call(env.fn("forget_supervisor_code"));
        f.store("i32.store", i32(SHARED.codeKey), env.get("codeKey"));
        f.store("i32.store", i32(SHARED.codeLimit), env.get("codeLimit"));
      });
      const open = env.get("cr4", "i64").wrap().and(CR4_SMAP).nez().and(env.get("eflags").and(AC).nez());
      env.set("dataTlb", f.let(open.mul(TLB_SET_SIZE).add(TLB_BASE)));
      env.set("codeTlb", i32(CODE_TLB_BASE));
      env.set("codeMap", f.load("i32.load", i32(SHARED.codeMap)));
    },
  );
});

/**
 * (PCID, 1 to keep what is known of it): another address space, or the same one anew (SDM vol. 3A, 4.10.4.1). A PCID that has no group
 * takes the one not used for longest.
 */
const chooseAddressSpace = runtime("choose_address_space", "i32 i32", "", (f, env) => {
  const pcid = f.let(f.param(0, "i32").get());
  const keep = f.variable(f.param(1, "i32").get());
  const current = f.let(env.get("tlbGroup"));
  const stays = f.variable(i32(0));
  f.if(current, () => stays.set(f.loadExpr("i32.load", current, TLB_GROUP.pcid).eq(pcid)));
  f.if(stays.get().and(keep.get()), () => f.return());
  f.call(env.fn("forget_supervisor_pages"));
  const group = f.variable(i32(TLB_GROUPS_BASE));
  const oldest = f.variable(i32(TLB_GROUPS_BASE));
  const now = f.let(env.get("tlbUses").add(1));
  env.set("tlbUses", now);
  f.block((found) => {
    f.loop((again) => {
      f.brIf(found, f.load("i32.load", group.get(), TLB_GROUP.pcid).eq(pcid));
      // As ages, so that the count may wrap.
      const age = (of: I32) => now.sub(f.load("i32.load", of, TLB_GROUP.used));
      f.if(age(group.get()).gtU(age(oldest.get())), () => oldest.set(group.get()));
      group.set(group.get().add(TLB_GROUP.size));
      f.brIf(again, group.get().ltU(GROUPS_END));
    });
    group.set(oldest.get());
    keep.set(i32(0));
  });
  const chosen = f.let(group.get());
  f.if(keep.get().eqz(), () => f.call(env.fn("forget_group"), chosen));
  f.store("i32.store", chosen, pcid, TLB_GROUP.pcid);
  f.store("i32.store", chosen, now, TLB_GROUP.used);
  // A code segment outside 64-bit mode may end elsewhere now.
  f.if(env.get("codeKey").ne(KEY64), () => f.call(env.fn("forget_user_code"), chosen));
  env.set("tlbGroup", chosen);
  f.call(env.fn("update_privilege"));
});

/** The PCID in use. */
const currentPcid = (f: FunctionBuilder, env: RuntimeEnv): I32 =>
  f.choose(
    env.get("cr4", "i64").wrap().and(CR4_PCIDE),
    () => f.let(env.get("cr3", "i64").wrap().and(0xfff)),
    () => i32(0),
  );

// ---- forgetting

/** A group's user pages. */
const forgetGroup = runtime("forget_group", "i32", "", (f, env) => {
  const group = f.let(f.param(0, "i32").get());
  f.if(
    f.load("i32.load", group, TLB_GROUP.filled),
    () => f.call(env.fn("forget_logged_data"), group, group.add(TLB_GROUP.dataLog), group.add(TLB_GROUP.dataCount)),
    () => {
      f.fill(group, i32(NO_TAG), i32(TLB_SET_SIZE + CODE_TLB_SET_SIZE));
      f.store("i32.store", group, i32(1), TLB_GROUP.filled);
    },
  );
  f.fill(group.add(TLB_GROUP.largeFilter), i32(0), i32(TLB_FILTER_SIZE));
  f.call(env.fn("forget_user_code"), group);
});

const forgetUserCode = runtime("forget_user_code", "i32", "", (f, env) => {
  const group = f.let(f.param(0, "i32").get());
  const set = f.let(group.add(TLB_GROUP.code));
  f.call(env.fn("forget_logged_code"), set, group.add(TLB_GROUP.codeLog), group.add(TLB_GROUP.codeCount));
  f.fill(group.add(TLB_GROUP.codeFilter), i32(0), i32(TLB_FILTER_SIZE));
  f.store("i32.store", group, nextCodeMap(f, env), TLB_GROUP.codeMap);
});

const forgetSupervisorCode = runtime("forget_supervisor_code", "", "", (f, env) => {
  f.fill(i32(CODE_TLB_BASE), i32(NO_TAG), i32(CODE_TLB_SET_SIZE));
  f.fill(i32(SHARED.codeFilter), i32(0), i32(TLB_FILTER_SIZE));
  f.store("i32.store", i32(SHARED.codeCount), i32(0));
  f.store("i32.store", i32(SHARED.codeMap), nextCodeMap(f, env));
});

/** What the supervisor sets know of the current address space alone. */
const forgetSupervisorPages = runtime("forget_supervisor_pages", "", "", (f, env) => {
  const data = env.fn("forget_logged_data");
  f.call(data, i32(TLB_BASE), i32(SHARED.dataLog), i32(SHARED.dataCount));
  f.call(data, i32(TLB_BASE + TLB_SET_SIZE), i32(SHARED.openLog), i32(SHARED.openCount));
  f.if(f.load("i32.load", i32(SHARED.codeCount)), () => {
    f.call(env.fn("forget_logged_code"), i32(CODE_TLB_BASE), i32(SHARED.codeLog), i32(SHARED.codeCount));
    f.store("i32.store", i32(SHARED.codeMap), nextCodeMap(f, env));
  });
});

/** Code alone, in every set: the mode in which it is decoded changes, or code pages are dropped. */
const flushCode = runtime("flush_code_tlb", "", "", (f, env) => {
  f.call(env.fn("forget_supervisor_code"));
  forGroups(f, (group) => f.call(env.fn("forget_user_code"), group));
  f.if(env.get("tlbGroup"), () => f.call(env.fn("update_privilege")));
});

/** Takes a PCID's group away, or with -1 every group; what they hold goes when another PCID gets them. */
const dropGroups = runtime("drop_groups", "i32", "", (f) => {
  const pcid = f.param(0, "i32").get();
  forGroups(f, (group) => {
    const same = f.loadExpr("i32.load", group, TLB_GROUP.pcid).eq(pcid);
    f.if(same.or(pcid.eq(NO_PCID)), () => f.store("i32.store", group, i32(NO_PCID), TLB_GROUP.pcid));
  });
});

/** Everything. */
const flushAll = runtime("flush_tlb", "", "", (f, env) => {
  f.fill(i32(TLB_BASE), i32(NO_TAG), i32(2 * TLB_SET_SIZE));
  f.fill(i32(SHARED.largeFilter), i32(0), i32(TLB_FILTER_SIZE));
  for (const count of [SHARED.dataCount, SHARED.openCount, SHARED.hugeCount]) f.store("i32.store", i32(count), i32(0));
  f.call(env.fn("forget_supervisor_code"));
  env.set("userGlobal", i32(0));
  f.call(env.fn("drop_groups"), i32(NO_PCID));
  f.call(env.fn("choose_address_space"), currentPcid(f, env), i32(0));
});

/** All but global pages, of every PCID (INVPCID type 3). */
const flushNonGlobal = runtime("flush_tlb_non_global", "", "", (f, env) => {
  f.call(env.fn("drop_groups"), i32(NO_PCID));
  f.call(env.fn("choose_address_space"), currentPcid(f, env), i32(0));
});

/** (PCID) All but global pages of it (INVPCID type 1). */
const flushPcid = runtime("flush_pcid", "i32", "", (f, env) => {
  const pcid = f.let(f.param(0, "i32").get());
  f.if(
    pcid.eq(currentPcid(f, env)),
    () => f.call(env.fn("choose_address_space"), pcid, i32(0)),
    () => f.call(env.fn("drop_groups"), pcid),
  );
});

/** CR3 has been loaded; the operand is 1 where what is known of its PCID may stay. */
const cr3Loaded = runtime("cr3_loaded", "i32", "", (f, env) => {
  f.call(env.fn("choose_address_space"), currentPcid(f, env), f.param(0, "i32").get());
});

/** MOV to CR3 in long mode; 0: nothing done, the general way must go. */
const loadCr3 = runtime("load_cr3", "i64", "i32", (f, env) => {
  const value = f.let(f.param(0, "i64").get());
  f.if(env.get("efer", "i64").wrap().and(EFER_LMA).eqz(), () => f.return(i32(0)));
  const pcide = env.get("cr4", "i64").wrap().and(CR4_PCIDE).nez();
  const keep = f.let(value.shrU(63).wrap().and(pcide));
  const table = f.let(value.and(i64(-1).shrU(keep.extendU())));
  f.if(table.shrU(PHYSICAL_BITS).eqz().eqz(), () => f.return(i32(0)));
  env.set("cr3", table);
  f.call(env.fn("cr3_loaded"), keep);
  f.return(i32(1));
});

/** Forgets one page for fetching, in the supervisor's and the current user set. */
const dropCode = runtime("drop_code", "i64", "", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const group = f.let(env.get("tlbGroup"));
  const offset = f.let(codeTlbOffset(f.let(linear.wrap())));
  const page = pageNumber(f, linear);
  f.if(mayHold(f, f.let(group.add(TLB_GROUP.codeFilter)), page), () => {
    forget(f, f.let(group.add(offset).add(TLB_GROUP.code)), CODE_ENTRY);
    f.store("i32.store", group, nextCodeMap(f, env), TLB_GROUP.codeMap);
  });
  f.if(mayHold(f, i32(SHARED.codeFilter), page), () => {
    forget(f, f.let(offset.add(CODE_TLB_BASE)), CODE_ENTRY);
    f.store("i32.store", i32(SHARED.codeMap), nextCodeMap(f, env));
  });
  env.set(
    "codeMap",
    f.choose(
      env.get("cpl").eq(3),
      () => f.load("i32.load", group, TLB_GROUP.codeMap),
      () => f.load("i32.load", i32(SHARED.codeMap)),
    ),
  );
});

/** (set, linear address, entries): forgets the entries of the 4 MiB around an address. */
const forgetRegion = (name: string, kind: EntryKind) =>
  runtime(name, "i32 i64", "", (f) => {
    const region = f.let(f.param(1, "i64").get().shrU(REGION_SHIFT));
    const low = f.let(f.param(1, "i64").get().and(~REGION_MASK).wrap());
    const offset = kind === DATA_ENTRY ? dataTlbOffset(low) : codeTlbOffset(low);
    const entry = f.variable(f.let(f.param(0, "i32").get().add(offset)));
    const end = f.let(entry.get().add((1 << (REGION_SHIFT - 12)) * kind.size));
    f.loop((again) => {
      const tags = kind.tags.map((tag) => f.loadExpr("i64.load", entry.get(), tag).shrU(REGION_SHIFT).eq(region));
      f.if(
        tags.reduce((a, b) => a.or(b)),
        () => forget(f, entry.get(), kind),
      );
      entry.set(entry.get().add(kind.size));
      f.brIf(again, entry.get().ltU(end));
    });
  });

/** INVLPG: one page, all of it where it is larger than 4 KiB, whether it is global or the current PCID's. */
const invalidate = runtime("invlpg", "i64", "", (f, env) => {
  const linear = f.let(f.param(0, "i64").get());
  const group = f.let(env.get("tlbGroup"));
  // Global pages of users may be in any group.
  f.if(env.get("userGlobal"), () => {
    f.call(env.fn("drop_groups"), i32(NO_PCID));
    f.call(env.fn("choose_address_space"), currentPcid(f, env), i32(0));
    env.set("userGlobal", i32(0));
  });
  f.if(f.callFor("i32", env.fn("is_huge"), linear), () => f.returnCall(env.fn("flush_tlb")));
  const region = regionNumber(f, linear);
  const large = mayHold(f, i32(SHARED.largeFilter), region);
  f.if(large.or(mayHold(f, f.let(group.add(TLB_GROUP.largeFilter)), region)), () => {
    for (const set of [i32(TLB_BASE), i32(TLB_BASE + TLB_SET_SIZE), group]) {
      f.call(env.fn("forget_data_region"), set, linear);
    }
    for (const set of [i32(CODE_TLB_BASE), f.let(group.add(TLB_GROUP.code))]) {
      f.call(env.fn("forget_code_region"), set, linear);
    }
    f.store("i32.store", group, nextCodeMap(f, env), TLB_GROUP.codeMap);
    f.store("i32.store", i32(SHARED.codeMap), nextCodeMap(f, env));
    f.call(env.fn("update_privilege"));
    f.return();
  });
  const data = f.let(dataTlbOffset(f.let(linear.wrap())));
  for (const set of [i32(TLB_BASE), i32(TLB_BASE + TLB_SET_SIZE), group]) {
    forget(f, f.let(set.add(data)), DATA_ENTRY);
  }
  f.call(env.fn("drop_code"), linear);
});

/** INVLPG for the page of another PCID (INVPCID type 0). */
const invalidateOf = runtime("invlpg_of", "i32 i64", "", (f, env) => {
  const pcid = f.let(f.param(0, "i32").get());
  // All of its pages may go; that of another address space is rare.
  f.if(pcid.ne(currentPcid(f, env)), () => f.returnCall(env.fn("drop_groups"), pcid));
  f.call(env.fn("invlpg"), f.param(1, "i64").get());
});

/** (host address of a page of RAM) It begins to hold code: no entry may write to it inline any more. */
const protectCode = runtime("protect_code", "i32", "", (f) => {
  const host = f.let(f.param(0, "i32").get().and(-4096));
  const protect = (entry: I32) => {
    const tag = f.load("i64.load", entry, 8).wrap();
    const maps = tag.add(f.loadExpr("i32.load", entry, 16)).eq(host);
    f.if(maps, () => f.store("i64.store", entry, i64(NO_TAG), 8));
  };
  const entry = f.variable(i32(TLB_BASE));
  f.loop((again) => {
    protect(entry.get());
    entry.set(entry.get().add(TLB_ENTRY_SIZE));
    f.brIf(again, entry.get().ltU(TLB_BASE + 2 * TLB_SET_SIZE));
  });
  forGroups(f, (group) => {
    const at = f.variable(f.let(group.add(TLB_GROUP.dataLog)));
    const end = f.let(at.get().add(f.load("i32.load", group, TLB_GROUP.dataCount).shl(1)));
    f.while(
      () => at.get().ltU(end),
      () => {
        protect(f.let(group.add(f.loadExpr("i32.load16_u", at.get(), 0).mul(TLB_ENTRY_SIZE))));
        at.set(at.get().add(2));
      },
    );
  });
});

if ([CODE_TLB_ENTRIES, TLB_ENTRIES].some((entries) => entries % (1 << (REGION_SHIFT - 12)) !== 0)) {
  throw new Error("a region does not lie in one piece in a TLB");
}

export const TRANSLATION_FUNCTIONS = [
  logEntry,
  forgetLogged("forget_logged_data", DATA_ENTRY),
  forgetLogged("forget_logged_code", CODE_ENTRY),
  enterData,
  enterCode,
  noteLarge,
  isHuge,
  updatePrivilege,
  chooseAddressSpace,
  forgetGroup,
  forgetUserCode,
  forgetSupervisorCode,
  forgetSupervisorPages,
  flushCode,
  dropGroups,
  flushAll,
  flushNonGlobal,
  flushPcid,
  cr3Loaded,
  loadCr3,
  dropCode,
  forgetRegion("forget_data_region", DATA_ENTRY),
  forgetRegion("forget_code_region", CODE_ENTRY),
  invalidate,
  invalidateOf,
  protectCode,
];

/**
 * Address translation (SDM vol. 3A, chapter 4): 32-bit, PAE, 4-level and 5-level paging, accessed and dirty bits,
 * and the filling of the data TLB. Not modelled: protection keys.
 */
import { HIGH_RAM_START, LOW_RAM_END } from "../../base/index.ts";
import type { FunctionBuilder, I32, I64 } from "../../wasm/index.ts";
import { i32, i64 } from "../../wasm/index.ts";
import { RAM_BASE, TLB_BASE, TLB_GLOBAL, TLB_NONE } from "../memory-map.ts";
import { WATCH } from "./debug.ts";
import { type RuntimeEnv, runtime } from "./define.ts";

/** What an access wants; the bits the page-fault error code shares keep their meaning, not their place. */
export const ACCESS = { write: 1, user: 2, fetch: 4, /** By the CPU itself, whatever the CPL. */ implicit: 8 } as const;

/** Width of physical addresses; CPUID 80000008h says the same. */
export const PHYSICAL_BITS = 40;
export const ADDRESS_MASK = ((1n << BigInt(PHYSICAL_BITS)) - 1n) & ~0xfffn;
const RESERVED_HIGH = ((1n << 52n) - 1n) & ~((1n << BigInt(PHYSICAL_BITS)) - 1n);

/** Bits 52 to 62, which are ignored in long mode. */
const RESERVED_PAE = 0x7ffn << 52n;

const CR0_WP = 0x1_0000;
const CR0_PG = 0x8000_0000 | 0;
const CR4_PSE = 0x10;
const CR4_PAE = 0x20;
const CR4_PGE = 0x80;
const CR4_LA57 = 0x1000;
const CR4_SMEP = 0x10_0000;
const CR4_SMAP = 0x20_0000;
const EFER_LMA = 0x400;
const EFER_NXE = 0x800;
const EFLAGS_AC = 0x4_0000;

const PTE_P = 1;
const PTE_W = 2;
const PTE_U = 4;
const PTE_A = 0x20;
const PTE_D = 0x40;
const PTE_PS = 0x80;
const PTE_G = 0x100;

const FAULT_P = 1;
const FAULT_RSVD = 8;

const param = (f: FunctionBuilder, i: number, type: "i32" | "i64") => f.let(f.param(i, type).get()) as I32 & I64;

/** Host address of a guest physical address, 0 where there is no RAM. */
const ramHost = runtime("ram_host", "i64", "i32", (f, env) => {
  const physical: I64 = param(f, 0, "i64");
  f.if(physical.ltU(env.get("ramLow", "i64")), () => f.return(physical.wrap().add(RAM_BASE)));
  const high = f.let(physical.sub(HIGH_RAM_START));
  f.if(high.ltU(env.get("ramHigh", "i64")), () => f.return(high.wrap().add(RAM_BASE + LOW_RAM_END)));
  f.return(i32(0));
});

/** Makes #PF pending (SDM vol. 3A, 4.7). Returns 1. */
const pageFault = runtime("page_fault", "i64 i32 i32", "i32", (f, env) => {
  const linear: I64 = param(f, 0, "i64");
  const access: I32 = param(f, 1, "i32");
  const code: I32 = param(f, 2, "i32");
  const nxe = env.get("efer", "i64").wrap().and(EFER_NXE);
  const smep = env.get("cr4", "i64").wrap().and(CR4_SMEP);
  const fetch = access.and(ACCESS.fetch).shl(2).and(nxe.or(smep).nez().shl(4));
  env.set("faultVector", i32(14));
  env.set("faultError", code.or(access.and(ACCESS.write).shl(1)).or(access.and(ACCESS.user).shl(1)).or(fetch));
  env.set("faultAddress", linear);
  f.return(i32(1));
});

/** In walkFlags after a walk that failed for that reason: through SS it is #SS(0) (SDM vol. 3A, 5.3.1), see control.ts. */
export const NOT_CANONICAL = 0x100;

/** Are the upper bits of a linear address copies of its top translated bit? */
const canonical = runtime("is_canonical", "i64", "i32", (f, env) => {
  const linear: I64 = param(f, 0, "i64");
  const unused = f.choose(
    env.get("cr4", "i64").wrap().and(CR4_LA57),
    () => i64(7),
    () => i64(16),
  );
  f.return(linear.shl(unused).shrS(unused).eq(linear));
});

/**
 * Walks the page tables for one access. 0: walkPhysical and walkFlags hold the answer; 1: an exception is pending.
 * Sets accessed and dirty bits as it goes.
 */
const walk = runtime("walk", "i64 i32", "i32", (f, env) => {
  const linear: I64 = param(f, 0, "i64");
  const access: I32 = param(f, 1, "i32");
  const cr0 = f.let(env.get("cr0", "i64").wrap());
  const cr4 = f.let(env.get("cr4", "i64").wrap());
  const efer = f.let(env.get("efer", "i64").wrap());
  f.if(cr0.and(CR0_PG).eqz(), () => {
    env.set("walkPhysical", linear.and(0xffff_ffff));
    env.set("walkFlags", i32(1));
    f.return(i32(0));
  });
  const long = f.let(efer.and(EFER_LMA));
  const shift = f.variable(i64(30));
  f.if(
    long,
    () => {
      f.if(f.callFor("i32", env.fn("is_canonical"), linear).eqz(), () => {
        env.set("faultVector", i32(13));
        env.set("faultError", i32(0));
        env.set("walkFlags", i32(NOT_CANONICAL));
        f.return(i32(1));
      });
      f.if(
        cr4.and(CR4_LA57),
        () => shift.set(i64(48)),
        () => shift.set(i64(39)),
      );
    },
    () => {
      f.if(cr4.and(CR4_PAE).eqz(), () => f.returnCall(env.fn("walk32"), linear, access));
    },
  );
  const table = f.variable(
    f.let(
      env.get("cr3", "i64").and(
        f.choose(
          long,
          () => i64(ADDRESS_MASK),
          () => i64(0xffff_ffe0),
        ),
      ),
    ),
  );
  const rights = f.variable(i32(PTE_W | PTE_U));
  const noExecute = f.variable(i32(0));
  f.loop((again) => {
    const s = f.let(shift.get());
    const index = linear.shrU(s).and(
      f.let(
        f.choose(
          long.eqz().and(s.eq(30)),
          () => i64(3),
          () => i64(511),
        ),
      ),
    );
    const pdpte = f.let(long.eqz().and(s.eq(30)));
    const host = f.choose(
      pdpte,
      () => index.wrap().shl(3).add(env.address("pdpte0")),
      () => f.callFor("i32", env.fn("ram_host"), table.get().add(index.shl(3))),
    );
    const pte = f.let(
      f.choose(
        host,
        () => f.load("i64.load", host),
        () => i64(0),
      ),
    );
    const low = f.let(pte.wrap());
    const fail = (code: number) => f.returnCall(env.fn("page_fault"), linear, access, i32(code));
    f.if(low.and(PTE_P).eqz(), () => fail(0));
    const large = f.let(s.ne(12).and(low.and(PTE_PS).nez()));
    const reserved = f.variable(pte.and(RESERVED_HIGH));
    f.if(long.eqz(), () => reserved.set(reserved.get().or(pte.and(RESERVED_PAE))));
    f.if(efer.and(EFER_NXE).eqz(), () => reserved.set(reserved.get().or(pte.and(-0x8000_0000_0000_0000n))));
    f.if(large, () => {
      f.if(
        s.geU(39),
        () => reserved.set(i64(1)),
        // Address bits below the page size, but PAT at bit 12.
        () => reserved.set(reserved.get().or(pte.and(i64(1).shl(s).sub(1)).and(~0x1fff))),
      );
    });
    f.if(reserved.get().eqz().eqz().and(pdpte.eqz()), () => fail(FAULT_P | FAULT_RSVD));
    f.if(pdpte.eqz(), () => {
      rights.set(rights.get().and(low));
      noExecute.set(noExecute.get().or(pte.shrU(63).wrap()));
    });
    const leaf = f.let(s.eq(12).or(large.and(pdpte.eqz())));
    f.if(leaf, () => {
      checkRights(f, { access, cr0, cr4, efer, rights: rights.get(), noExecute: noExecute.get(), env }, () =>
        fail(FAULT_P),
      );
      const wanted = f.let(low.or(PTE_A).or(access.and(ACCESS.write).shl(6)));
      f.if(wanted.ne(low), () => f.store("i32.store", host, wanted));
      const within = f.let(i64(1).shl(s).sub(1));
      env.set("walkPhysical", pte.and(ADDRESS_MASK).and(within.not()).or(linear.and(within)));
      finish(f, env, { linear, access, cr0, cr4, rights: rights.get(), pte: wanted, large, shift: s.wrap() });
      f.return(i32(0));
    });
    f.if(low.and(PTE_A).eqz().and(pdpte.eqz()), () => f.store("i32.store", host, low.or(PTE_A)));
    table.set(pte.and(ADDRESS_MASK));
    shift.set(s.sub(9));
    f.br(again);
  });
  f.unreachable();
});

/** 32-bit paging: two levels, 4 MiB pages with CR4.PSE (physical bits 32-39 in 13-20). */
const walk32 = runtime("walk32", "i64 i32", "i32", (f, env) => {
  const linear: I64 = param(f, 0, "i64");
  const access: I32 = param(f, 1, "i32");
  const cr0 = f.let(env.get("cr0", "i64").wrap());
  const cr4 = f.let(env.get("cr4", "i64").wrap());
  const efer = i32(0);
  const address = f.let(linear.wrap());
  const fail = (code: number) => f.returnCall(env.fn("page_fault"), linear, access, i32(code));
  const entry = (table: I64): [I32, I32] => {
    const host = f.callFor("i32", env.fn("ram_host"), table);
    return [
      host,
      f.let(
        f.choose(
          host,
          () => f.load("i32.load", host),
          () => i32(0),
        ),
      ),
    ];
  };
  const directory = f.let(env.get("cr3", "i64").and(0xffff_f000));
  const [pdeHost, pde] = entry(directory.add(address.shrU(22).shl(2).extendU()));
  f.if(pde.and(PTE_P).eqz(), () => fail(0));
  const large = f.let(pde.and(PTE_PS).nez().and(cr4.and(CR4_PSE).nez()));
  const leafHost = f.variable(pdeHost);
  const leaf = f.variable(pde);
  const rights = f.variable(pde);
  f.if(
    large,
    () => {
      f.if(pde.and(0x20_0000), () => fail(FAULT_P | FAULT_RSVD));
    },
    () => {
      const [host, pte] = entry(pde.and(-4096).extendU().add(address.shrU(12).and(0x3ff).shl(2).extendU()));
      f.if(pte.and(PTE_P).eqz(), () => fail(0));
      f.if(pde.and(PTE_A).eqz(), () => f.store("i32.store", pdeHost, pde.or(PTE_A)));
      leafHost.set(host);
      leaf.set(pte);
      rights.set(pde.and(pte));
    },
  );
  checkRights(f, { access, cr0, cr4, efer, rights: rights.get(), noExecute: i32(0), env }, () => fail(FAULT_P));
  const low = f.let(leaf.get());
  const wanted = f.let(low.or(PTE_A).or(access.and(ACCESS.write).shl(6)));
  f.if(wanted.ne(low), () => f.store("i32.store", leafHost.get(), wanted));
  env.set(
    "walkPhysical",
    f.choose(
      large,
      () =>
        f.let(
          low
            .and(0xffc0_0000 | 0)
            .or(address.and(0x3f_ffff))
            .extendU()
            .or(low.shrU(13).and(0xff).extendU().shl(32)),
        ),
      () => f.let(low.and(-4096).or(address.and(0xfff)).extendU()),
    ),
  );
  finish(f, env, { linear, access, cr0, cr4, rights: rights.get(), pte: wanted, large, shift: i32(22) });
  f.return(i32(0));
});

interface Rights {
  readonly access: I32;
  readonly cr0: I32;
  readonly cr4: I32;
  readonly efer: I32;
  readonly rights: I32;
  readonly noExecute: I32;
  readonly env: RuntimeEnv;
}

/** SDM vol. 3A, 4.6.1. */
function checkRights(f: FunctionBuilder, r: Rights, fail: () => void): void {
  const { access } = r;
  const rights = f.let(r.rights);
  const userPage = f.let(rights.and(PTE_U).nez());
  const byUser = f.let(access.and(ACCESS.user).nez());
  const toWrite = f.let(access.and(ACCESS.write).nez());
  f.if(byUser.and(userPage.eqz()), fail);
  const readOnly = rights.and(PTE_W).eqz();
  f.if(toWrite.and(readOnly).and(byUser.or(r.cr0.and(CR0_WP).nez())), fail);
  f.if(
    access.and(ACCESS.fetch),
    () => {
      f.if(r.noExecute.and(r.efer.and(EFER_NXE).nez()), fail);
      f.if(byUser.eqz().and(userPage).and(r.cr4.and(CR4_SMEP).nez()), fail);
    },
    () => {
      f.if(byUser.eqz().and(userPage).and(r.cr4.and(CR4_SMAP).nez()), () => {
        const ac = r.env.get("eflags").and(EFLAGS_AC).eqz();
        f.if(ac.or(access.and(ACCESS.implicit)), fail);
      });
    },
  );
}

interface Leaf {
  readonly linear: I64;
  readonly access: I32;
  readonly cr0: I32;
  readonly cr4: I32;
  readonly rights: I32;
  readonly pte: I32;
  readonly large: I32;
  /** Bits of the address within the page; looked at where it is large. */
  readonly shift: I32;
}

/** What the TLB may remember of a leaf, and where large pages are (for INVLPG). */
function finish(f: FunctionBuilder, env: RuntimeEnv, leaf: Leaf): void {
  const supervisor = leaf.access.and(ACCESS.user).eqz();
  const writable = leaf.rights
    .and(PTE_W)
    .nez()
    .or(supervisor.and(leaf.cr0.and(CR0_WP).eqz()));
  const dirty = leaf.pte.and(PTE_D).nez();
  const global = f.let(leaf.pte.and(PTE_G).nez().and(leaf.cr4.and(CR4_PGE).nez()));
  env.set("walks", env.get("walks", "i64").add(1));
  env.set("walkFlags", writable.and(dirty).or(global.shl(1)).or(leaf.rights.and(PTE_U)));
  f.if(leaf.large, () => f.call(env.fn("note_large"), leaf.linear, global, leaf.shift));
}

/**
 * Host address for an access within one page, filling the data TLB for data accesses at the current privilege.
 * 0: an exception is pending; 1: device memory at walkPhysical.
 */
const translate = runtime("translate", "i64 i32", "i32", (f, env) => {
  const linear: I64 = param(f, 0, "i64");
  const access: I32 = param(f, 1, "i32");
  f.if(f.callFor("i32", env.fn("walk"), linear, access), () => f.return(i32(0)));
  const host = f.callFor("i32", env.fn("ram_host"), env.get("walkPhysical", "i64"));
  f.if(host.eqz(), () => f.return(i32(1)));
  f.if(access.and(ACCESS.fetch), () => f.return(host));
  // What the CPU does by itself may be remembered for supervisor pages only: SMAP treats it apart on user pages.
  const implicit = f.let(access.and(ACCESS.implicit));
  f.if(implicit.and(env.get("walkFlags").shl(1)), () => f.return(host));
  f.if(implicit.eqz().and(env.get("dataTlb").eq(TLB_NONE)), () => f.return(host));
  f.if(env.get("watch").and(WATCH.data), () => {
    f.if(f.callFor("i32", env.fn("watched_page"), linear, i32(0)), () => f.return(host));
  });
  const flags = env.get("walkFlags");
  const writable = flags.and(1).and(f.callFor("i32", env.fn("has_code"), host).eqz());
  const set = f.choose(
    implicit,
    () => i32(TLB_BASE),
    () => env.get("dataTlb"),
  );
  const entered = f.let(flags.shrU(1).and(TLB_GLOBAL).or(writable.shl(31)));
  f.call(env.fn("enter_data"), linear, host.sub(linear.wrap()), entered, set);
  f.return(host);
});

export const PAGING_FUNCTIONS = [ramHost, pageFault, canonical, walk, walk32, translate];

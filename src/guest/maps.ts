/**
 * Memory areas of a process (struct vm_area_struct), as /proc/PID/maps shows them (fs/proc/task_mmu.c). A maple tree
 * holds them since 6.1, a sorted list before.
 */
import { type Gva, gva } from "../base/index.ts";
import { readDentry } from "./dentries.ts";
import { Budget, Inconsistent, type Listing, readEach, readListing } from "./lists.ts";
import type { Look } from "./look.ts";
import { walkMapleTree } from "./maple-tree.ts";
import { PAGE_SIZE } from "./memory.ts";
import { fileName, type Place, placeInFront } from "./paths.ts";

/** Areas of a process, and nodes of their tree: the kernel's default limit (vm.max_map_count) is 65,530. */
const MOST_AREAS = 2 ** 18;
/** ANON_VMA_NAME_MAX_LEN */
const LONGEST_NAME = 80;

/** Flags of an area that the listing shows (include/linux/mm.h), the letters of set and of unset ones. */
const VM_EXEC = 0x04;
const PROTECTION = [
  { bit: 0x01, set: "r", unset: "-" },
  { bit: 0x02, set: "w", unset: "-" },
  { bit: VM_EXEC, set: "x", unset: "-" },
  { bit: 0x80, set: "s", unset: "p" },
] as const;
/** vsyscall_mode (arch/x86/entry/vsyscall/vsyscall_64.c): the page is not there. */
const VSYSCALL_NONE = 2;

export interface MemoryArea {
  /** Of its vm_area_struct. */
  readonly at: Gva;
  readonly start: Gva;
  readonly end: Gva;
  /** `r-xp` */
  readonly protection: string;
  /** Of the file, in bytes. */
  readonly offset: number;
  /** Of the file system, as `deviceNumbers` takes it; 0: no file. */
  readonly device: number;
  /** Number of the file; 0: none. */
  readonly inode: number;
  /** Inode that the file's contents are kept by; absent: no file. */
  readonly file?: Gva;
  /** Path, `[heap]`, `[stack]`, `[vdso]`, … or nothing. */
  readonly name: string;
}

/**
 * The areas of the process that has this mm_struct, by address, as /proc/PID/maps has them; `executable`: only those with code. `root`: what
 * paths begin at. Throws VivError for want of types.
 */
export function listMemoryAreas(look: Look, mm: Gva, root: Place | undefined, executable = false): Listing<MemoryArea> {
  const names = areaNames(look, mm);
  const { map_count } = look.offsets("memory maps", "mm_struct", "map_count");
  const { vm_flags } = look.offsets("memory maps", "vm_area_struct", "vm_flags");
  return readListing((rows, gaps) => {
    let areas = 0;
    const read = ({ at, first, end }: FoundArea): MemoryArea | undefined => {
      areas++;
      if (executable && (look.space.u32(at, vm_flags) & VM_EXEC) === 0) return undefined;
      const area = readArea(look, at, root, names);
      if (first !== undefined && (area.start !== first || area.end !== end)) throw new Inconsistent("an area moved");
      return area;
    };
    readEach(walkAreas(look, mm), read, rows, gaps, "areas");
    const claimed = look.space.u32(mm, map_count);
    if (gaps.length === 0 && areas !== claimed) gaps.push(`the process says it has ${claimed} areas`);
    const page = gateArea(look, root);
    if (page) rows.push(page);
  });
}

interface FoundArea {
  readonly at: Gva;
  /** What the tree says of it. */
  readonly first?: number;
  readonly end?: number;
}

function* walkAreas(look: Look, mm: Gva): Generator<FoundArea, void> {
  const budget = new Budget(MOST_AREAS);
  const tree = look.optional("mm_struct", "mm_mt");
  if (tree !== undefined) {
    for (const { entry, first, end } of walkMapleTree(look, gva(mm + tree), budget)) yield { at: entry, first, end };
    return;
  }
  const { mmap } = look.offsets("memory maps", "mm_struct", "mmap");
  const A = look.offsets("memory maps", "vm_area_struct", "vm_next", "vm_start");
  let before = -1;
  for (let at = look.space.pointer(mm, mmap); at !== 0; at = look.space.pointer(at, A.vm_next)) {
    budget.spend();
    const start = look.space.pointer(at, A.vm_start);
    if (start <= before) throw new Inconsistent("memory areas do not rise");
    before = start;
    yield { at };
  }
}

type AreaNames = (at: Gva, start: number, end: number) => string;

/** What an area without a file is called. */
function areaNames(look: Look, mm: Gva): AreaNames {
  const { space } = look;
  const M = look.offsets("memory maps", "mm_struct", "start_brk", "brk", "start_stack");
  const A = look.offsets("memory maps", "vm_area_struct", "vm_ops", "vm_private_data", "vm_mm");
  const { name } = look.offsets("memory maps", "vm_special_mapping", "name");
  const special = look.symbol("special_mapping_vmops");
  const given = look.optional("vm_area_struct", "anon_name");
  const givenText = look.optional("anon_vma_name", "name");
  return (at, start, end) => {
    const operations = space.pointer(at, A.vm_ops);
    if (special !== undefined && operations === special)
      return look.text(space.pointer(space.pointer(at, A.vm_private_data), name), LONGEST_NAME);
    if (space.pointer(at, A.vm_mm) !== mm) throw new Inconsistent("an area belongs to another process");
    if (start <= space.pointer(mm, M.brk) && end >= space.pointer(mm, M.start_brk)) return "[heap]";
    const stack = space.pointer(mm, M.start_stack);
    if (start <= stack && end >= stack) return "[stack]";
    // Other kinds of memory use the same words for something else.
    const text = given === undefined || operations !== 0 ? 0 : space.pointer(at, given);
    return text === 0 || givenText === undefined ? "" : `[anon:${look.text(text as Gva, LONGEST_NAME, givenText)}]`;
  };
}

function readArea(look: Look, at: Gva, root: Place | undefined, names: AreaNames): MemoryArea {
  const { space } = look;
  const A = look.offsets("memory maps", "vm_area_struct", "vm_start", "vm_end", "vm_flags", "vm_pgoff", "vm_file");
  const start = space.pointer(at, A.vm_start);
  const end = space.pointer(at, A.vm_end);
  const flags = space.u32(at, A.vm_flags);
  const file = space.pointer(at, A.vm_file);
  const protection = PROTECTION.map(({ bit, set, unset }) => ((flags & bit) !== 0 ? set : unset)).join("");
  if (file === 0) return { at, start, end, protection, offset: 0, device: 0, inode: 0, name: names(at, start, end) };
  const { f_inode } = look.offsets("memory maps", "file", "f_inode");
  const I = look.offsets("memory maps", "inode", "i_ino", "i_sb");
  const { s_dev } = look.offsets("memory maps", "super_block", "s_dev");
  const inode = space.pointer(file, f_inode);
  // Of overlayfs, the file that is seen and the one that is mapped are two.
  const front = placeInFront(look, file);
  const seen = front ? readDentry(look, front.dentry).inode : inode;
  return {
    at,
    start,
    end,
    protection,
    offset: space.u64(at, A.vm_pgoff) * PAGE_SIZE,
    device: space.u32(space.pointer(seen, I.i_sb), s_dev),
    inode: space.u64(seen, I.i_ino),
    file: inode,
    name: fileName(look, file, root),
  };
}

/** The page of fixed system calls that every process has (get_gate_vma). */
function gateArea(look: Look, root: Place | undefined): MemoryArea | undefined {
  const at = look.symbol("gate_vma");
  const mode = look.symbol("vsyscall_mode");
  if (at === undefined || mode === undefined || look.space.u32(mode) === VSYSCALL_NONE) return undefined;
  return readArea(look, at, root, () => "[vsyscall]");
}

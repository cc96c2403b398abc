/**
 * A guest's memory written by hand, sound down to each link, for what no real kernel at hand has (older layouts, five
 * levels) and as the ground that hostile memory is made of. Where members lie is chosen here; what they mean follows
 * the kernel's headers.
 */
import { type Gva, gpa, gva } from "../../src/base/index.ts";
import type { Kernel, TypeTable } from "../../src/guest/kernel.ts";
import { AddressSpace, PhysicalMemory } from "../../src/guest/memory.ts";
import { type MemberOf, namesOf, STRUCTURES, type StructureName } from "../../src/guest/structures.ts";

const PAGE = 4096;
const FRAMES = 512;
/** Where RAM and struct pages are mapped (Documentation/arch/x86/x86_64/mm.rst). */
const DIRECT = { 4: -0x7780_0000_0000, 5: -0xef_0000_0000_0000 } as const;
const VMEMMAP = { 4: -0x1600_0000_0000, 5: -0x2c_0000_0000_0000 } as const;
const PAGE_STRUCT = 64;

/** Bytes of members that are more than 16. */
const SIZES: Readonly<Record<string, number>> = {
  "xa_node.slots": 64 * 8,
  "maple_range_64.pivot": 15 * 8,
  "maple_range_64.slot": 16 * 8,
  "maple_arange_64.pivot": 9 * 8,
  "maple_arange_64.slot": 10 * 8,
  "unix_sock.addr": 512,
  "mount.mnt": 64,
  "uts_namespace.name": 512,
  "unix_address.name": 112,
  ...Object.fromEntries(STRUCTURES.new_utsname.members.map((name) => [`new_utsname.${name}`, 72])),
};
/** Members that share their place, or have to lie at a certain one. */
const FIXED: Readonly<Record<string, number>> = {
  "page.flags": 0,
  "page.compound_head": 8,
  "page.mapping": 24,
  "page.index": 32,
  "maple_range_64.pivot": 8,
  "maple_arange_64.pivot": 8,
  "inet_ehash_bucket.chain": 0,
};

export type Era = "5.10" | "6.1" | "6.12";
/** What kernels of an era do not have. */
const ABSENT: Readonly<Record<Era, readonly string[]>> = {
  "5.10": ["mm_struct.mm_mt", "dentry.d_children", "dentry.d_sib", "mount.mnt_id_unique", "task_struct.__state"],
  "6.1": ["mm_struct.mmap", "dentry.d_children", "dentry.d_sib", "mount.mnt_id_unique", "task_struct.state"],
  "6.12": ["mm_struct.mmap", "dentry.d_subdirs", "dentry.d_child", "mnt_namespace.list", "task_struct.state"],
};

class SyntheticTypes implements TypeTable {
  readonly #offsets = new Map<string, number>();
  readonly #sizes = new Map<string, number>();

  constructor(era: Era) {
    for (const structure of Object.keys(STRUCTURES) as StructureName[]) {
      const row: { members: readonly string[]; renamed?: Record<string, readonly string[]> } = STRUCTURES[structure];
      let end = 0;
      for (const member of [...row.members, ...Object.keys(row.renamed ?? {})]) {
        for (const name of namesOf(structure, member as MemberOf<typeof structure>)) {
          const key = `${structure}.${name}`;
          if (ABSENT[era].includes(key)) continue;
          const at = FIXED[key] ?? end;
          this.#offsets.set(key, at);
          end = Math.max(end, at + (SIZES[key] ?? 16));
          break;
        }
      }
      this.#sizes.set(structure, structure === "page" ? PAGE_STRUCT : end);
    }
  }

  sizeOf(type: string): number | undefined {
    return this.#sizes.get(type);
  }
  offsetOf(type: string, path: string): number | undefined {
    return this.#offsets.get(`${type}.${path}`);
  }
  enumerator(): number | undefined {
    return undefined;
  }
}

export interface SyntheticFile {
  readonly dentry: Gva;
  readonly inode: Gva;
}

export class SyntheticGuest implements Kernel {
  readonly release = "synthetic";
  readonly banner = "";
  readonly buildId = undefined;
  readonly types: TypeTable;
  readonly ram = new Uint8Array(FRAMES * PAGE);
  readonly era: Era;
  readonly levels: 4 | 5;
  readonly #view = new DataView(this.ram.buffer);
  readonly #symbols = new Map<string, Gva>();
  readonly #root: number;
  /** Frames are taken from the start; structures from a growing heap of them. */
  #nextFrame = 1;
  #heap = 0;
  #heapEnd = 0;

  constructor(era: Era, levels: 4 | 5 = 4) {
    this.era = era;
    this.levels = levels;
    this.types = new SyntheticTypes(era);
    this.#root = this.frame();
    for (let i = 0; i < FRAMES; i++) this.map(this.#root, DIRECT[levels] + i * PAGE, i * PAGE);
    const pages = (FRAMES * PAGE_STRUCT) / PAGE;
    for (let i = 0; i < pages; i++) this.map(this.#root, VMEMMAP[levels] + i * PAGE, this.frame());
    this.#build();
  }

  readonly symbols = {
    address: (name: string): Gva | undefined => this.#symbols.get(name),
    find: () => undefined,
  };

  get space(): AddressSpace {
    return new AddressSpace(new PhysicalMemory(this.ram), gpa(this.#root), this.levels);
  }

  /** A page of RAM, by its physical address. */
  frame(): number {
    const frame = this.#nextFrame++;
    if (frame >= FRAMES) throw new Error("the synthetic guest is full");
    return frame * PAGE;
  }

  direct(physical: number): Gva {
    return gva(DIRECT[this.levels] + physical);
  }

  map(root: number, at: number, physical: number): void {
    let table = root;
    for (let level = this.levels - 1; level > 0; level--) {
      const entry = table + (Math.floor(at / PAGE / 2 ** (9 * level)) & 511) * 8;
      if (this.#view.getUint32(entry, true) === 0) this.#view.setUint32(entry, this.frame() | 7, true);
      table = this.#view.getUint32(entry, true) & ~0xfff;
    }
    this.#view.setUint32(table + (Math.floor(at / PAGE) & 511) * 8, physical | 7, true);
  }

  /** Zeroed memory, as aligned as the kernel's slabs of maple nodes. */
  allocate(size: number): Gva {
    const length = Math.ceil(size / 256) * 256;
    if (this.#heap + length > this.#heapEnd) {
      const first = this.frame();
      for (let have = PAGE; have < length; have += PAGE) this.frame();
      this.#heap = first;
      this.#heapEnd = first + Math.ceil(length / PAGE) * PAGE;
    }
    const at = this.#heap;
    this.#heap += length;
    return this.direct(at);
  }

  create(structure: StructureName): Gva {
    return this.allocate(this.types.sizeOf(structure)!);
  }

  offset<S extends StructureName>(structure: S, member: MemberOf<S>): number {
    for (const name of namesOf(structure, member)) {
      const offset = this.types.offsetOf(structure, name);
      if (offset !== undefined) return offset;
    }
    throw new Error(`${this.era} has no ${structure}.${member}`);
  }

  /** Writes 64 bits; `low` is added to their low 32, for tags that a number could not hold. */
  write(at: Gva, offset: number, value: number, low = 0): void {
    const physical = this.physical(at) + offset;
    const upper = Math.floor(value / 2 ** 32);
    this.#view.setUint32(physical, ((value - upper * 2 ** 32) | low) >>> 0, true);
    this.#view.setInt32(physical + 4, upper, true);
  }

  physical(at: Gva): number {
    const physical = this.space.translate(at);
    if (physical < 0) throw new Error("not mapped");
    return physical;
  }

  set<S extends StructureName>(at: Gva, structure: S, member: MemberOf<S>, value: number, low = 0): void {
    this.write(at, this.offset(structure, member), value, low);
  }

  bytes(at: Gva, offset: number, bytes: Uint8Array): void {
    this.ram.set(bytes, this.physical(at) + offset);
  }

  text(text: string): Gva {
    const at = this.allocate(text.length + 1);
    this.bytes(at, 0, Buffer.from(text, "latin1"));
    return at;
  }

  /** A list_head and its entries, linked in a ring. */
  ring(head: Gva, entries: readonly Gva[]): void {
    const all = [head, ...entries];
    for (const [i, at] of all.entries()) {
      const next = all[(i + 1) % all.length]!;
      this.write(at, 0, next);
      this.write(next, 8, at);
    }
  }

  /** An hlist_head and its nodes. `end`: what the last one has for a next. */
  chain(head: Gva, nodes: readonly Gva[], end = 0): void {
    let link = head;
    for (const node of nodes) {
      this.write(link, 0, node);
      this.write(node, 8, link);
      link = node;
    }
    this.write(link, 0, end);
  }

  variable(name: string, at: Gva): Gva {
    this.#symbols.set(name, at);
    return at;
  }

  init!: Gva;
  mm!: Gva;
  tree!: Gva;
  rootNode!: Gva;
  leafNode!: Gva;
  rootFile!: SyntheticFile;
  file!: SyntheticFile;
  cacheNode!: Gva;
  tasks: Gva[] = [];
  log!: Gva;

  #superBlock(type: string, magic: number): Gva {
    const superBlock = this.create("super_block");
    const fileSystem = this.create("file_system_type");
    this.set(fileSystem, "file_system_type", "name", this.text(type));
    this.set(superBlock, "super_block", "s_type", fileSystem);
    this.set(superBlock, "super_block", "s_magic", magic);
    return superBlock;
  }

  makeInode(superBlock: Gva, number: number, mode: number): Gva {
    const inode = this.create("inode");
    this.set(inode, "inode", "i_ino", number);
    this.set(inode, "inode", "i_mode", mode);
    this.set(inode, "inode", "i_sb", superBlock);
    const mapping = this.create("address_space");
    this.set(inode, "inode", "i_mapping", mapping);
    return inode;
  }

  makeDentry(parent: Gva | undefined, name: string, inode: Gva): Gva {
    const dentry = this.create("dentry");
    this.set(dentry, "dentry", "d_parent", parent ?? dentry);
    this.set(dentry, "dentry", "d_name.name", this.text(name));
    this.set(dentry, "dentry", "d_name.len", name.length);
    this.set(dentry, "dentry", "d_inode", inode);
    this.set(dentry, "dentry", "d_hash.pprev", dentry);
    return dentry;
  }

  /** What a directory holds. */
  fill(directory: Gva, children: readonly Gva[]): void {
    if (this.era === "6.12") {
      const node = this.offset("dentry", "d_sib");
      this.chain(
        gva(directory + this.offset("dentry", "d_children")),
        children.map((child) => gva(child + node)),
      );
    } else {
      const link = this.offset("dentry", "d_child");
      this.ring(
        gva(directory + this.offset("dentry", "d_subdirs")),
        children.map((child) => gva(child + link)),
      );
    }
  }

  /** A page of a file's cache: its struct page, filled with `fill`. */
  page(mapping: Gva, index: number, fill: number): Gva {
    const physical = this.frame();
    this.ram.fill(fill, physical, physical + PAGE);
    const page = gva(VMEMMAP[this.levels] + (physical / PAGE) * PAGE_STRUCT);
    this.set(page, "page", "flags", 4);
    this.set(page, "page", "mapping", mapping);
    this.set(page, "page", "index", index);
    return page;
  }

  slot(node: Gva, slot: number, entry: number, low = 0): void {
    this.write(node, this.offset("xa_node", "slots") + slot * 8, entry, low);
  }

  #build(): void {
    this.variable("vmemmap_base", this.allocate(8));
    this.write(this.#symbols.get("vmemmap_base")!, 0, VMEMMAP[this.levels]);
    this.#buildFiles();
    this.#buildTasks();
    this.#buildAreas();
    this.#buildLog();
  }

  #buildFiles(): void {
    const superBlock = this.#superBlock("tmpfs", 0x0102_1994);
    const rootInode = this.makeInode(superBlock, 1, 0o04_0755);
    const root = this.makeDentry(undefined, "/", rootInode);
    const fileInode = this.makeInode(superBlock, 2, 0o10_0644);
    const file = this.makeDentry(root, "file", fileInode);
    const linkInode = this.makeInode(superBlock, 3, 0o12_0777);
    this.set(linkInode, "inode", "i_link", this.text("file"));
    const link = this.makeDentry(root, "link", linkInode);
    this.fill(root, [file, link]);
    this.rootFile = { dentry: root, inode: rootInode };
    this.file = { dentry: file, inode: fileInode };
    // Page 0, nothing, page 2 of 4 pages; two levels, so that there is a tree.
    this.set(fileInode, "inode", "i_size", 3 * PAGE + 5);
    const mapping = this.space.pointer(fileInode, this.offset("inode", "i_mapping"));
    const top = this.create("xa_node");
    const node = this.create("xa_node");
    this.set(top, "xa_node", "shift", 6);
    this.slot(top, 0, node, 2);
    this.set(node, "xa_node", "parent", top);
    this.slot(node, 0, this.page(mapping, 0, 0xaa));
    this.slot(node, 2, this.page(mapping, 2, 0xcc));
    this.slot(node, 3, 0, 0x11);
    const array = gva(mapping + this.offset("address_space", "i_pages"));
    this.set(array, "xarray", "xa_head", top, 2);
    this.cacheNode = node;
  }

  #buildTasks(): void {
    const mount = this.create("mount");
    const seen = gva(mount + this.offset("mount", "mnt"));
    const namespace = this.create("mnt_namespace");
    this.set(mount, "mount", "mnt_parent", mount);
    this.set(mount, "mount", "mnt_mountpoint", this.rootFile.dentry);
    this.set(mount, "mount", "mnt_devname", this.text("root"));
    this.set(seen, "vfsmount", "mnt_root", this.rootFile.dentry);
    this.set(seen, "vfsmount", "mnt_sb", this.space.pointer(this.rootFile.inode, this.offset("inode", "i_sb")));
    this.set(namespace, "mnt_namespace", "root", mount);
    this.ring(gva(mount + this.offset("mount", "mnt_mounts")), []);
    if (this.era !== "6.12")
      this.ring(gva(namespace + this.offset("mnt_namespace", "list")), [gva(mount + this.offset("mount", "mnt_list"))]);
    const proxy = this.create("nsproxy");
    this.set(proxy, "nsproxy", "mnt_ns", namespace);
    const fs = this.create("fs_struct");
    for (const which of ["root", "pwd"] as const) {
      this.set(fs, "fs_struct", `${which}.mnt`, seen);
      this.set(fs, "fs_struct", `${which}.dentry`, this.rootFile.dentry);
    }
    const cred = this.create("cred");
    this.mm = this.create("mm_struct");
    const pgd = this.frame();
    const stack = this.frame();
    this.map(pgd, 0x7f00_0000_0000, stack);
    this.ram.set(Buffer.from("program\0argument\0"), stack);
    this.set(this.mm, "mm_struct", "pgd", this.direct(pgd));
    this.set(this.mm, "mm_struct", "arg_start", 0x7f00_0000_0000);
    this.set(this.mm, "mm_struct", "arg_end", 0x7f00_0000_0000 + 17);
    for (let pid = 0; pid < 4; pid++) {
      const task = this.create("task_struct");
      this.tasks.push(task);
      const signal = this.create("signal_struct");
      this.set(task, "task_struct", "pid", pid);
      this.set(task, "task_struct", "tgid", pid);
      this.set(task, "task_struct", "real_parent", this.tasks[Math.max(0, pid - 1)]!);
      this.set(task, "task_struct", "signal", signal);
      this.set(task, "task_struct", "cred", cred);
      this.set(task, "task_struct", "fs", fs);
      this.set(task, "task_struct", "nsproxy", proxy);
      this.set(task, "task_struct", "state", 1);
      this.bytes(task, this.offset("task_struct", "comm"), Buffer.from(`task-${pid}`));
      if (pid > 0) this.set(task, "task_struct", "mm", this.mm);
      const threads = [task];
      if (pid === 3) {
        const thread = this.create("task_struct");
        const length = this.types.sizeOf("task_struct")!;
        const from = this.physical(task);
        this.ram.copyWithin(this.physical(thread), from, from + length);
        this.set(thread, "task_struct", "pid", 9);
        threads.push(thread);
      }
      const node = this.offset("task_struct", "thread_node");
      this.ring(
        gva(signal + this.offset("signal_struct", "thread_head")),
        threads.map((at) => gva(at + node)),
      );
      this.#openFiles(task, seen);
    }
    const link = this.offset("task_struct", "tasks");
    const [first, ...others] = this.tasks.map((at) => gva(at + link));
    this.ring(first!, others);
    this.variable("init_task", this.tasks[0]!);
    this.init = this.tasks[1]!;
  }

  #openFiles(task: Gva, mount: Gva): void {
    const files = this.create("files_struct");
    const table = this.create("fdtable");
    const array = this.allocate(64 * 8);
    const open = this.allocate(8);
    const file = this.create("file");
    this.set(file, "file", "f_path.dentry", this.file.dentry);
    this.set(file, "file", "f_path.mnt", mount);
    this.set(file, "file", "f_inode", this.file.inode);
    this.set(task, "task_struct", "files", files);
    this.set(files, "files_struct", "fdt", table);
    this.set(table, "fdtable", "max_fds", 64);
    this.set(table, "fdtable", "fd", array);
    this.set(table, "fdtable", "open_fds", open);
    this.write(open, 0, 2 ** 33 + 1);
    this.write(array, 0, file);
    this.write(array, 33 * 8, file);
  }

  area(start: number, end: number): Gva {
    const area = this.create("vm_area_struct");
    this.set(area, "vm_area_struct", "vm_start", start);
    this.set(area, "vm_area_struct", "vm_end", end);
    this.set(area, "vm_area_struct", "vm_mm", this.mm);
    this.set(area, "vm_area_struct", "vm_flags", 3);
    return area;
  }

  #buildAreas(): void {
    const areas = [
      [0x40_0000, 0x40_1000],
      [0x60_0000, 0x60_3000],
      [0x7f00_0000_0000, 0x7f00_0001_0000],
    ].map(([start, end]) => ({ start: start!, end: end!, at: this.area(start!, end!) }));
    this.set(this.mm, "mm_struct", "map_count", areas.length);
    if (this.era === "5.10") {
      this.set(this.mm, "mm_struct", "mmap", areas[0]!.at);
      for (const [i, { at }] of areas.entries()) this.set(at, "vm_area_struct", "vm_next", areas[i + 1]?.at ?? 0);
      return;
    }
    // Types of nodes: a leaf is 1, a node of an allocation tree 3, in bits 3 to 6 of a link.
    this.tree = gva(this.mm + this.offset("mm_struct", "mm_mt"));
    const root = this.create("maple_arange_64");
    const leaf = this.create("maple_range_64");
    this.set(this.tree, "maple_tree", "ma_root", root, (3 << 3) | 2);
    this.set(root, "maple_arange_64", "parent", this.tree, 1);
    this.write(root, this.offset("maple_arange_64", "slot"), leaf, 1 << 3);
    this.write(root, this.offset("maple_arange_64", "pivot"), -1);
    this.set(leaf, "maple_range_64", "parent", root, 6);
    let slot = 0;
    let from = 0;
    const put = (end: number, entry: number): void => {
      this.write(leaf, this.offset("maple_range_64", "pivot") + slot * 8, end - 1);
      this.write(leaf, this.offset("maple_range_64", "slot") + slot * 8, entry);
      slot++;
      from = end;
    };
    for (const { start, end, at } of areas) {
      if (start > from) put(start, 0);
      put(end, at);
    }
    this.rootNode = root;
    this.leafNode = leaf;
  }

  /** A ring of 8 descriptors and 256 bytes, gone round once: the numbers begin near the top. */
  #buildLog(): void {
    const ring = this.create("printk_ringbuffer");
    const descriptors = this.allocate(8 * this.types.sizeOf("prb_desc")!);
    const infos = this.allocate(8 * this.types.sizeOf("printk_info")!);
    const text = this.allocate(256);
    const R = (member: MemberOf<"printk_ringbuffer">, value: number) =>
      this.set(ring, "printk_ringbuffer", member, value);
    R("desc_ring.count_bits", 3);
    R("desc_ring.descs", descriptors);
    R("desc_ring.infos", infos);
    R("text_data_ring.size_bits", 8);
    R("text_data_ring.data", text);
    let position = 2 ** 32 - 64;
    for (let i = 0; i < 4; i++) {
      const id = (2 ** 32 - 2 + i) % 2 ** 32;
      const index = id & 7;
      const descriptor = gva(descriptors + index * this.types.sizeOf("prb_desc")!);
      const info = gva(infos + index * this.types.sizeOf("printk_info")!);
      const line = Buffer.from(`record ${i}`);
      const need = 32;
      this.set(descriptor, "prb_desc", "state_var", 2 ** 63, id);
      this.set(descriptor, "prb_desc", "text_blk_lpos.begin", position);
      const block = gva(text + (position % 256));
      this.set(block, "prb_data_block", "id", 0, id);
      this.bytes(block, this.offset("prb_data_block", "data"), line);
      position = (position + need) % 2 ** 32;
      this.set(descriptor, "prb_desc", "text_blk_lpos.next", position);
      this.set(info, "printk_info", "seq", i);
      this.set(info, "printk_info", "ts_nsec", i * 1e9);
      this.set(info, "printk_info", "text_len", line.length);
      this.set(info, "printk_info", "level", 6 << 5);
    }
    R("desc_ring.tail_id", 2 ** 32 - 2);
    R("desc_ring.head_id", 1);
    this.log = ring;
    const variable = this.variable("prb", this.allocate(8));
    this.write(variable, 0, ring);
  }
}

/**
 * The kernel's structures that are read, with the members wanted of each. Where they lie comes from the kernel's own
 * BTF. A member that has had other names or places lists them, the newest kernel's first; what it is called here comes
 * first of all.
 */
export const STRUCTURES = {
  // include/linux/sched.h, sched/signal.h, cred.h, nsproxy.h, fs_struct.h
  task_struct: {
    members: [
      "pid",
      "tgid",
      "comm",
      "flags",
      "exit_state",
      "tasks",
      "thread_node",
      "real_parent",
      "signal",
      "cred",
      "mm",
      "files",
      "fs",
      "nsproxy",
      "se.sum_exec_runtime",
      "thread.sp",
    ],
    // state: 5.14; cpu: 5.16 on x86; start_boottime: 5.5.
    renamed: {
      state: ["__state", "state"],
      cpu: ["thread_info.cpu", "cpu"],
      start_boottime: ["start_boottime", "real_start_time"],
    },
  },
  signal_struct: { members: ["thread_head", "sum_sched_runtime"] },
  cred: { members: ["euid"] },
  // arch/x86/include/asm/switch_to.h: what a task that waits keeps at the top of its stack.
  inactive_task_frame: { members: ["r15", "r14", "r13", "r12", "bx", "bp", "ret_addr"] },
  nsproxy: { members: ["uts_ns", "mnt_ns"] },
  fs_struct: { members: ["root.mnt", "root.dentry", "pwd.mnt", "pwd.dentry"] },
  uts_namespace: { members: ["name"] },
  new_utsname: { members: ["sysname", "nodename", "release", "version", "machine", "domainname"] },
  timekeeper: { members: ["xtime_sec", "offs_real", "offs_boot"] },

  // include/linux/mm_types.h, maple_tree.h. Maple trees hold the areas since 6.1, before that a list.
  mm_struct: {
    members: ["mm_mt", "mmap", "pgd", "map_count", "start_brk", "brk", "start_stack", "arg_start", "arg_end"],
  },
  vm_area_struct: {
    members: [
      "vm_start",
      "vm_end",
      "vm_next",
      "vm_mm",
      "vm_flags",
      "vm_pgoff",
      "vm_file",
      "vm_ops",
      "vm_private_data",
      "anon_name",
    ],
  },
  vm_special_mapping: { members: ["name"] },
  // arch/x86/include/asm/vdso.h
  vdso_image: { members: ["data", "size"] },
  anon_vma_name: { members: ["name"] },
  maple_tree: { members: ["ma_root"] },
  maple_range_64: { members: ["parent", "pivot", "slot"] },
  maple_arange_64: { members: ["parent", "pivot", "slot"] },

  // include/linux/xarray.h, fs.h, mm_types.h: the page cache.
  xarray: { members: ["xa_head"] },
  xa_node: { members: ["shift", "offset", "parent", "slots"] },
  address_space: { members: ["i_pages"] },
  page: {
    members: ["flags", "mapping", "compound_head"],
    // 6.16
    renamed: { index: ["__folio_index", "index"] },
  },

  // include/linux/fs.h, dcache.h, path.h, fs/mount.h, fdtable.h
  inode: {
    members: ["i_mode", "i_uid", "i_gid", "i_sb", "i_mapping", "i_ino", "i_nlink", "i_rdev", "i_size", "i_link"],
    // 6.11, 6.6
    renamed: { i_mtime: ["i_mtime_sec", "__i_mtime.tv_sec", "i_mtime.tv_sec"] },
  },
  super_block: { members: ["s_dev", "s_type", "s_flags", "s_magic", "s_subtype"] },
  file_system_type: { members: ["name"] },
  dentry: {
    members: [
      "d_hash.pprev",
      "d_parent",
      "d_name.name",
      "d_name.len",
      "d_inode",
      // Until 6.7 a list, from 6.8 on an hlist.
      "d_child",
      "d_subdirs",
      "d_sib",
      "d_children",
    ],
  },
  file: {
    members: ["f_path.dentry", "f_path.mnt", "f_inode", "f_flags", "f_mode", "f_pos", "private_data"],
  },
  /** 6.8 */
  backing_file: { members: ["user_path.mnt", "user_path.dentry"] },
  vfsmount: { members: ["mnt_root", "mnt_sb", "mnt_flags"] },
  mount: {
    members: [
      "mnt_parent",
      "mnt_mountpoint",
      "mnt",
      "mnt_mounts",
      "mnt_child",
      "mnt_devname",
      "mnt_list",
      "mnt_id",
      "mnt_id_unique",
    ],
  },
  /** `list` until 6.7, in the order of /proc/mounts. */
  mnt_namespace: { members: ["root", "list"] },
  files_struct: { members: ["fdt"] },
  fdtable: { members: ["max_fds", "fd", "open_fds"] },

  // kernel/printk/printk_ringbuffer.h, 5.10
  printk_ringbuffer: {
    members: [
      "desc_ring.count_bits",
      "desc_ring.descs",
      "desc_ring.infos",
      "desc_ring.head_id",
      "desc_ring.tail_id",
      "text_data_ring.size_bits",
      "text_data_ring.data",
    ],
  },
  prb_desc: { members: ["state_var", "text_blk_lpos.begin", "text_blk_lpos.next"] },
  prb_data_block: { members: ["id", "data"] },
  printk_info: { members: ["seq", "ts_nsec", "text_len", "facility", "level"] },

  // include/linux/net.h, net/sock.h, net/inet_hashtables.h, net/udp.h, net/af_unix.h, linux/netdevice.h, inetdevice.h
  socket: { members: ["type", "file", "sk"] },
  sock: { members: ["sk_protocol", "sk_type"] },
  sock_common: {
    members: [
      "skc_daddr",
      "skc_rcv_saddr",
      "skc_dport",
      "skc_num",
      "skc_family",
      "skc_state",
      "skc_v6_daddr",
      "skc_v6_rcv_saddr",
      "skc_node",
      "skc_nulls_node",
    ],
  },
  inet_hashinfo: { members: ["ehash", "ehash_mask", "lhash2", "lhash2_mask"] },
  inet_ehash_bucket: { members: ["chain"] },
  inet_listen_hashbucket: { members: ["nulls_head"] },
  udp_table: { members: ["hash", "mask"] },
  udp_hslot: { members: ["head"] },
  unix_sock: { members: ["addr", "peer"] },
  unix_address: { members: ["len", "name"] },
  net: { members: ["dev_base_head"] },
  net_device: {
    members: ["name", "dev_list", "ifindex", "flags", "mtu", "dev_addr", "addr_len", "ip_ptr"],
  },
  in_device: { members: ["ifa_list"] },
  in_ifaddr: { members: ["ifa_next", "ifa_local", "ifa_prefixlen"] },
} as const satisfies Record<string, StructureRow>;

interface StructureRow {
  readonly members: readonly string[];
  readonly renamed?: Readonly<Record<string, readonly string[]>>;
}

export type StructureName = keyof typeof STRUCTURES;

export type MemberOf<S extends StructureName> =
  | (typeof STRUCTURES)[S]["members"][number]
  | ((typeof STRUCTURES)[S] extends { readonly renamed: infer Renamed } ? keyof Renamed & string : never);

/** The names a member may have, the likeliest first. */
export function namesOf(structure: StructureName, member: string): readonly string[] {
  const row: StructureRow = STRUCTURES[structure];
  return row.renamed?.[member] ?? [member];
}

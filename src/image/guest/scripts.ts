/**
 * The programs the default guest adds to busybox, all of them shell scripts for its ash. Together with
 * `exec/protocol.ts` they are the two ends of one protocol, described there.
 *
 * A fork costs the software CPU milliseconds, hence the style: builtins where they do, and as few processes as can be
 * between the kernel's hand-over and the user's command.
 */

/** Where the agents keep their pipes: a command's input, output and errors. */
export const RUN = "/run/vivarium";
export const PIPES = ["in", "out", "err"] as const;
const pipes = PIPES.join(" ");

export const CONSOLE_PATH = "/lib/vivarium/console";

/** What every command finds in its environment unless the request says otherwise. */
const ENVIRONMENT =
  "export HOME=/root USER=root LOGNAME=root SHELL=/bin/sh PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The kernel's first program: mounts what a Linux expects, prepares the serial lines and hands over to busybox's init,
 * which starts the agents and, where the kernel command line asks for it, the console's shell. Busybox runs its own
 * programs by /proc/self/exe, so the first mounts name it in full. CONSOLE=/dev/null keeps init's banner off the
 * console.
 */
export const INIT = `#!/bin/busybox sh
/bin/busybox mount -t proc proc /proc
mount -t devtmpfs dev /dev
mkdir /dev/pts
mkdir -m 1777 /dev/shm
mount -a
echo vivarium >/proc/sys/kernel/hostname
for line in 1 2 3; do stty -F /dev/ttyS$line 115200 raw -echo -hupcl; done
busybox --install -s /bin
ifconfig lo 127.0.0.1 up
[ -z "$vivarium_console" ] || echo "ttyS0::once:${CONSOLE_PATH}" >>/etc/inittab
export CONSOLE=/dev/null
exec init
`;

/** Signals reach the agents' children with their default actions because init starts the agents, not a shell's "&". */
export const INITTAB = `::respawn:/lib/vivarium/agent
::respawn:/lib/vivarium/side
`;

/**
 * Runs one command at a time. Its requests are lines of shell that the host writes to ttyS1, each a call of a function
 * below with quoted arguments, read by the shell itself as its script: no parser, no fork.
 * Descriptors: 1 events to the host, 3 ttyS2, 4 ttyS3, 5 and 6 the command's output and error pipes to write,
 * 7 and 8 the same to read, 9 its input pipe: to read, and in the feeder to write. A pipe is opened for both first: to
 * open it for one waits for the other, and a signal that interrupts the wait would end the shell.
 *
 * Output goes through pipes and not straight to the lines, so that a command sees no terminal. The end of a stream
 * is the request's token, written into the pipe after the command's own output; so a background process that
 * keeps the pipe open delays nothing. What such a process writes later is read and dropped; what of it was on its way is told
 * apart by the token at the beginning, which goes straight to the line.
 */
export const AGENT = `#!/bin/sh
exec >/dev/ttyS1 3<>/dev/ttyS2 4>/dev/ttyS3 </dev/null 2>/dev/null
unset vivarium_console TERM CONSOLE
${ENVIRONMENT}
cd ${RUN}
echo $$ >agent

feed() { # ID: asks for the command's input frame by frame; a frame is its length, a newline, the bytes
  while echo "want $1"; read -r length <&3 && [ "$length" -gt 0 ]; do
    dd bs="$length" count=1 iflag=fullblock status=none <&3 >&9
  done
}

run() { # ID TOKEN stdin|none DIRECTORY [NAME=VALUE]... setsid -- ARGUMENT...
  id=$1 token=$2 input=$3 directory=$4
  shift 4
  echo -n $token >&3
  echo -n $token >&4
  exec 9</dev/null
  feeder=
  if [ $input = stdin ]; then
    exec 5<>in 9<in
    feed $id 9>&5 5>&- &
    feeder=$!
  fi
  exec 5<>out 6<>err 7<out 8<err
  cat <&7 >&3 5>&- 6>&- 7>&- 8>&- 9>&- &
  relays=$!
  cat <&8 >&4 5>&- 6>&- 7>&- 8>&- 9>&- &
  relays="$relays $!"
  echo " $relays $feeder " >plumbing
  (
    cd "$directory" || exit 126
    unset OLDPWD
    exec env -- "$@"
  ) <&9 >&5 2>&6 3>&- 4>&- 5>&- 6>&- 7>&- 8>&- 9>&-
  status=$?
  echo -n $token >&5
  echo -n $token >&6
  exec 5>&- 6>&-
  echo "exit $id $status"
}

end() { # clears up after a command, while nobody waits
  if [ "$feeder" ]; then
    cat <&9 >/dev/null &
    wait $feeder
  fi
  jobs >/dev/null
  set -- $relays
  if kill -0 $1; then cat <&7 >/dev/null & fi
  if kill -0 $2; then cat <&8 >/dev/null & fi
  kill $relays
  wait $relays
  exec 7<&- 8<&- 9<&-
  rm -f ${pipes}
  mkfifo ${pipes}
}

echo "vivarium ready 1"
. /dev/ttyS1
`;

/** What cannot wait for the command to end: read from ttyS3, in the same way. */
export const SIDE = `#!/bin/sh
exec </dev/null >/dev/null 2>&1
cd ${RUN}

size() { # ROWS COLUMNS
  stty -F /dev/ttyS0 rows $1 cols $2
}

signal() { # NAME: to the running command, which is the agent's youngest child
  read -r agent <agent
  read -r plumbing <plumbing
  read -r children </proc/$agent/task/$agent/children
  pid=
  for pid in $children; do :; done
  case " $plumbing " in *" $pid "*) ;; *) kill -s $1 $pid ;; esac
}

down() { # init ends all programs, and switches the machine off
  poweroff
}

. /dev/ttyS3
`;

/**
 * The interactive shell, on the console as its controlling terminal, or a command in its place that the agent was given: as a
 * session's leader it gets the terminal by opening it. Its end is the machine's. Ctrl-C is the command's, not this script's.
 */
export const CONSOLE = `#!/bin/sh
# Init asks for XOFF and XON to the terminal; they would stop the user's own.
if [ $# -gt 0 ]; then
  exec <>/dev/ttyS0 >&0 2>&1
  export TERM=vt100
  stty -ixoff
else
  stty -ixoff rows "\${vivarium_console%x*}" cols "\${vivarium_console#*x}"
  set -- sh -l
fi
unset vivarium_console CONSOLE
${ENVIRONMENT}
cd /root
trap : INT QUIT
"$@"
status=$?
stty sane
echo "console $status" >/dev/ttyS1
poweroff -f
`;

# shellcheck shell=bash disable=SC2154  # sourced by e2e/cluster, which sets the variables
# Processes of the node. Each is recorded as "PID START-TIME": a process id alone may by now be someone else's.

start_time_of() {
  # The 22nd field; the second one, the program's name, may contain spaces, so count after its closing parenthesis. A
  # zombie, which the machine's init may be slow to reap, runs no more.
  local fields
  fields=$(cat "/proc/$1/stat" 2>/dev/null) || return 1
  awk '$1 == "Z" {exit 1} {print $20}' <<<"${fields##*) }"
}

# start NAME COMMAND...: in the node's network and in a process group of its own, with the output added to logs/NAME.log.
start() {
  local name=$1 pid
  shift
  # A plain command, not the function in_network, so that $! is the process itself and not a shell around it.
  nsenter --net="$network_file" setsid "$@" >>"$logs/$name.log" 2>&1 </dev/null 9>&- &
  pid=$!
  echo "$pid $(start_time_of "$pid")" >"$state/pids/$name"
}

is_running() {
  local pid start_time
  read -r pid start_time <"$state/pids/$1" 2>/dev/null || return 1
  [ -n "$start_time" ] && [ "$(start_time_of "$pid")" = "$start_time" ]
}

started_processes() { find "$state/pids" -type f -printf '%f\n' 2>/dev/null | sort; }

gone_processes() {
  local name gone=()
  for name in $(started_processes); do is_running "$name" || gone+=("$name"); done
  echo "${gone[*]}"
}

# await NAME SECONDS WHAT COMMAND...: until COMMAND succeeds; on failure the end of NAME's log says why.
await() {
  local name=$1 limit=$2 what=$3 begun=$SECONDS
  shift 3
  until "$@" >/dev/null 2>&1; do
    if ! is_running "$name" || [ $((SECONDS - begun)) -ge "$limit" ]; then
      echo "cluster: $what: not after $((SECONDS - begun)) s; the end of $logs/$name.log:" >&2
      tail -n 25 "$logs/$name.log" >&2
      return 1
    fi
    sleep 0.2
  done
  say "$what ($((SECONDS - started)) s)"
}

# stop NAME...: all at once, in their whole groups; nothing here is worth more than some seconds of a graceful end.
stop() {
  local name pids=() pid _
  for name in "$@"; do
    if is_running "$name"; then
      read -r pid _ <"$state/pids/$name"
      pids+=("$pid")
    fi
  done
  signal_groups TERM "${pids[@]}"
  for _ in {1..30}; do
    any_running "$@" || break
    sleep 0.1
  done
  # The leader may be gone and have left children behind.
  signal_groups KILL "${pids[@]}"
  for name in "$@"; do rm -f "$state/pids/$name"; done
}

any_running() {
  local name
  for name in "$@"; do ! is_running "$name" || return 0; done
  return 1
}

signal_groups() {
  local signal=$1 pid
  shift
  for pid in "$@"; do kill -s "$signal" -- "-$pid" 2>/dev/null || true; done
}

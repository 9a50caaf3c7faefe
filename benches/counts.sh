#!/usr/bin/env bash
# What a request of 1 KB costs, without what the client and the engine take: instructions, atomic
# read-modify-writes, allocations. They do not depend on the machine's load. Needs valgrind and objdump.
#
#   benches/counts.sh                  the rows of benches/counts.txt
#   benches/counts.sh --check          the same; fails where one is more than 2 % above the figure there
#   benches/counts.sh --pin            writes them there
#   benches/counts.sh --pgo            the same of a build that is optimized by a profile of them (needs
#                                      the component llvm-tools of rustup)
#   benches/counts.sh --events ROW...  the instructions of a request and of an event of a stream, for the
#                                      other rows of tests/counts (all of it, by default for each row)
#
# The program is built as gateways are (profile `dist`); its figures are those of one toolchain.
set -euo pipefail
cd "$(dirname "$0")/.."
pinned=benches/counts.txt
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

target=${CARGO_TARGET_DIR:-target}
if [ "${1-}" = --pgo ]; then
    host=$(rustc -vV | sed -n 's/^host: //p')
    # With a target of its own the flags are not those of build scripts.
    build=(cargo build --locked --profile dist -p counts --target "$host" --target-dir "$target/pgo")
    program=$target/pgo/$host/dist/counts
    RUSTFLAGS=-Cprofile-generate=$work/profiles "${build[@]}"
    for row in layer stack retries; do
        "$program" "$row" requests 3000
    done
    "$(rustc --print sysroot)/lib/rustlib/$host/bin/llvm-profdata" merge -o "$work/profile" "$work/profiles"
    RUSTFLAGS=-Cprofile-use=$work/profile "${build[@]}"
else
    cargo build --locked --profile dist -p counts
    program=$target/dist/counts
fi
program=$(realpath "$program")

trace() { # row, what, times, file for callgrind
    valgrind --tool=callgrind --dump-instr=yes --compress-strings=no --compress-pos=no \
        --callgrind-out-file="$4" "$program" "$1" "$2" "$3" >"$work/valgrind" 2>&1 ||
        { cat "$work/valgrind" >&2; return 1; }
}

# The addresses of instructions that read, modify and write as one.
objdump -d --no-show-raw-insn "$program" |
    awk '/[ \t](lock |xchg .*\()/ { sub(":", "", $1); print "0x" $1 }' >"$work/atomics"

# Instructions, atomics and allocations of a run.
sum() { # file of callgrind
    awk -v atomics="$work/atomics" -v own="$program" '
        BEGIN { while ((getline address <atomics) > 0) is_atomic[address] = 1 }
        /^ob=/ { in_own = substr($0, 4) == own }
        /^cfn=/ { callee = substr($0, 5) }
        /^calls=/ {
            split(substr($0, 7), parts, " ")
            if (callee ~ /^(malloc|calloc|realloc|aligned_alloc|posix_memalign)$/) allocations += parts[1]
            skip = 1
            next
        }
        /^0x/ {
            if (skip) { skip = 0; next }
            instructions += $3
            if (in_own && ($1 in is_atomic)) atomics_done += $3
        }
        END { print instructions, atomics_done + 0, allocations + 0 }' "$1"
}

# What one of so many requests takes, or one part of a stream.
each() { # row, what, times, parts of one time
    trace "$1" "$2" "$3" "$work/once"
    trace "$1" "$2" $((2 * $3)) "$work/twice"
    paste -d' ' <(sum "$work/once") <(sum "$work/twice") |
        awk -v n=$(($3 * $4)) '{ printf "%d %.0f %.0f\n", ($4 - $1) / n, ($5 - $2) / n, ($6 - $3) / n }'
}

if [ "${1-}" = --events ]; then
    shift
    printf '%-16s %12s %12s\n' row request event
    for row in ${*:-nobody observer metrics requests_limit tokens_limit all defaults defaults_all}; do
        read -r request _ <<<"$(each "$row" requests 500 1)"
        read -r event _ <<<"$(each "$row" streams 20 1001)"
        printf '%-16s %12s %12s\n' "$row" "$request" "$event"
    done
    exit
fi

# What the figures depend on beside the code.
made_by="# $(rustc -V), $(getconf GNU_LIBC_VERSION), $(uname -m)"

read -r -a bare <<<"$(each bare requests 500 1)"
{
    echo "$made_by"
    printf '%-8s %13s %8s %12s\n' row instructions atomics allocations
    for row in floor layer stack retries; do
        read -r -a all <<<"$(each "$row" requests 500 1)"
        printf '%-8s %13s %8s %12s\n' "$row" $((all[0] - bare[0])) $((all[1] - bare[1])) $((all[2] - bare[2]))
    done
} | tee "$work/counts"

case ${1-} in
--pin) cp "$work/counts" "$pinned" ;;
--check)
    if [ "$(head -n 1 "$pinned")" != "$made_by" ]; then
        echo "pinned by another toolchain ($(head -n 1 "$pinned")): not compared"
        exit
    fi
    awk 'FNR < 3 { next }
        NR == FNR { for (i = 2; i <= 4; i++) bound[$1, i] = $i * 1.02; next }
        { for (i = 2; i <= 4; i++) if ($i > bound[$1, i]) { print $1 ": " $i " is more than " bound[$1, i]; bad = 1 } }
        END { exit bad }' "$pinned" "$work/counts" ;;
esac

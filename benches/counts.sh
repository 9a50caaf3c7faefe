#!/usr/bin/env bash
# Instructions a request of 1 KB and an event of a stream, by rows of benches/counts.rs. Needs valgrind.
set -euo pipefail
cd "$(dirname "$0")/.."
program=$(cargo bench --profile release --bench counts --no-run 2>&1 | sed -n 's/.*Executable.*(\(.*\))/\1/p')
count() { # row, what, times
    valgrind --tool=callgrind --callgrind-out-file=/dev/null "$program" "$1" "$2" "$3" 2>&1 |
        sed -n 's/.*Collected : \([0-9]*\).*/\1/p'
}
each() { # row, what, times, parts of one time
    echo $((($(count "$1" "$2" $((2 * $3))) - $(count "$1" "$2" "$3")) / $3 / $4))
}
rows=${*:-nobody observer metrics requests_limit tokens_limit all defaults defaults_all}
printf '%-16s %12s %12s\n' row request event
for row in $rows; do
    printf '%-16s %12s %12s\n' "$row" "$(each "$row" requests 1000 1)" "$(each "$row" streams 20 1001)"
done

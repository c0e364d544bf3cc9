#!/bin/bash
# Prints how well and how quickly the package listing reads: the score over the public vectors (where GATEWAY_CORPUS
# or ../shared/corpus has them), the charset table and the benchmarks. With --write it puts the report, with its date,
# between the marks in docs/listing-formats.md.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

doc=docs/listing-formats.md
dir=$(mktemp -d)
trap 'rm -rf "$dir"' EXIT
corpus=${GATEWAY_CORPUS:-../shared/corpus}

score() {
    if [ -f "$corpus/score_listing.py" ]; then
        go build -o "$dir/gateway" ./cmd/gateway
        python3 "$corpus/score_listing.py" --cmd "$dir/gateway parse-list"
    else
        echo "The public vectors are not here: set GATEWAY_CORPUS to their folder."
    fi
}

charsets() {
    go test ./listing -count 1 -run '^TestCharsetTable$' -v | sed -n 's/^    [a-z_]*\.go:[0-9]*: //; /^ *[^ =-]/p' | grep -v '^\(ok\|PASS\)' || true
}

# benchmarks prints a line for each of go test's, its figures by name.
benchmarks() {
    go test ./listing -run '^$' -bench 'Parser|Million|Length|Worst' -benchtime "${BENCHTIME:-5x}" -timeout 30m | awk '
        /^cpu:/ { cpu = $0 }
        /^Benchmark/ {
            name = $1; sub(/^Benchmark/, "", name); sub(/-[0-9]+$/, "", name)
            line = sprintf("%-40s", name)
            for (i = 3; i < NF; i += 2) {
                if ($(i+1) == "lines/s") line = line sprintf("  %6.2f M lines/s", $i / 1e6)
                if ($(i+1) == "MB/s") line = line sprintf("  %7.1f MB/s", $i)
                if ($(i+1) == "allocs/line") line = line sprintf("  %5.2f allocations", $i)
                if ($(i+1) == "B/line") line = line sprintf("  %4.0f B/line", $i)
            }
            print line
        }
        END { print cpu }'
}

{
    echo "Measured on $(date -u +%Y-%m-%d) with $(go env GOVERSION), $(go env GOOS)/$(go env GOARCH), $(nproc) cores."
    printf '\nPublic vectors:\n\n```text\n'
    score
    printf '```\n\nCharsets, from names alone:\n\n```text\n'
    charsets
    printf '```\n\nSpeed, on one core:\n\n```text\n'
    benchmarks
    printf '```\n'
} | tee "$dir/report"

if [ "${1:-}" = --write ]; then
    awk -v report="$dir/report" '
        /^<!-- report ends -->$/ { skip = 0 }
        !skip { print }
        /^<!-- report begins -->$/ { while ((getline line < report) > 0) print line; skip = 1 }' "$doc" > "$dir/doc"
    cp "$dir/doc" "$doc"
    echo "written into $doc"
fi

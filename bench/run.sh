#!/bin/sh
# The benchmarks of bench/README.md, one after the other, at a size that takes some ten minutes on two quiet cores. Their tables go to standard output.
# PEERS=1 adds the other stream processors, which need Java and Maven and take as long again.
set -eu
cd "$(dirname "$0")/.."
go=${GO:-go}
part() { printf '\n== %s\n' "$1"; }

part 'decoding a row'
$go test -run '^$' -bench 'BenchmarkDecode' -benchtime 0.3s ./ingest/decode
part 'a row through the windows'
$go test -run '^$' -bench 'BenchmarkRow' -benchtime 0.3s ./processors/features
part 'the scorer beside the bare session'
$go test -run '^$' -bench 'BenchmarkScore' -benchtime 0.5s ./scorer
part 'the scorer beside bare loops in Go and Python, its batches, hot swaps'
$go run ./bench/scorer -rounds 7 -swaps 60
part 'the line beside the bare loop, rows without a model, questions'
$go run ./bench/line -rounds 3 -rows 1000000 ${JSON:+-json "$JSON"}
if command -v java >/dev/null && [ -e lib/kafka/.complete ]; then
	part 'the price of exactly once'
	$go run ./bench/line -run delivery -delivery-rounds 2
else
	part 'the price of exactly once: left out, for it needs Java and make deps-kafka'
fi
part 'remaining life on C-MAPSS FD001'
$go run ./bench/rul -seeds 1
if [ "${PEERS:-}" = 1 ]; then
	part 'other stream processors'
	$go run ./bench/peers -records 2000000
fi

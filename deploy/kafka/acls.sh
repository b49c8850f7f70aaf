#!/usr/bin/env bash
# Sets what each role of Fleetward may do at the brokers, by the table beside this script. Run it again after an update: what is
# there stays.
set -euo pipefail

usage() {
  cat <<'TEXT'
usage: acls.sh --bootstrap-server HOST:PORT [--command-config FILE] [--prefix PREFIX] [--kafka-acls COMMAND] [--print]

  --bootstrap-server  a broker to talk to
  --command-config    properties of an administrator's client, as kafka-acls.sh takes it
  --prefix            principals are User:PREFIXrole (default: fleetward-, so User:fleetward-gateway)
  --kafka-acls        Kafka's own tool (default: kafka-acls.sh)
  --print             only print the commands
TEXT
}

roles_all=(gateway detector cohorts pki historian notifier responder api collector)
roles_relay=(pki historian notifier responder api collector)
tool=(kafka-acls.sh)
client=()
prefix=fleetward-
print=no
while [ $# -gt 0 ]; do
  case "$1" in
    --bootstrap-server | --command-config) client+=("$1" "${2:?$1 needs a value}"); shift 2 ;;
    --prefix) prefix="${2?--prefix needs a value}"; shift 2 ;;
    --kafka-acls) read -ra tool <<<"${2:?--kafka-acls needs a value}"; shift 2 ;;
    --print) print=yes; shift ;;
    -h | --help) usage; exit 0 ;;
    *) echo "acls.sh: unknown argument '$1'" >&2; usage >&2; exit 2 ;;
  esac
done
case " ${client[*]} " in
  *" --bootstrap-server "*) ;;
  *) echo "acls.sh: --bootstrap-server is missing" >&2; usage >&2; exit 2 ;;
esac

while IFS=, read -r role operations resource match names; do
  case "$role" in
    "" | \#*) continue ;;
    all) roles=("${roles_all[@]}") ;;
    relay) roles=("${roles_relay[@]}") ;;
    *) roles=("$role") ;;
  esac
  command=("${tool[@]}" "${client[@]}" --add --force --resource-pattern-type "$match")
  for one in "${roles[@]}"; do command+=(--allow-principal "User:$prefix$one"); done
  for one in $operations; do command+=(--operation "$one"); done
  for one in $names; do command+=("--$resource" "$one"); done
  if [ $print = yes ]; then printf '%q ' "${command[@]}"; echo; continue; fi
  echo "$role: $operations on $resource $names" >&2
  "${command[@]}" </dev/null >/dev/null
done <"$(dirname "${BASH_SOURCE[0]}")/acls.csv"

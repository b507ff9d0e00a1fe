#!/bin/sh
# End jobs, by name or namespace/name.
for job in "$@"; do
  case $job in
    */*) kubectl delete job --ignore-not-found --wait=false --namespace="${job%/*}" "${job#*/}" ;;
    *) kubectl delete job --ignore-not-found --wait=false "$job" ;;
  esac
done

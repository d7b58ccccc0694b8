# Finds each wanted Python on PATH (the newest that fits), makes a virtual environment of it and puts that first on PATH.
set -euo pipefail
if [ -z "${WANTED//[[:space:]]/}" ] && [ -n "$FILE" ]; then
  WANTED="$(sed -n 's/#.*//; s/^[[:space:]]*\(python[-_ ]\)\{0,1\}//; /^[0-9]/{p;q}' "$GITHUB_WORKSPACE/$FILE")"
fi
[ -n "${WANTED//[[:space:]]/}" ] || WANTED="3.x"
declare -A at=()
IFS=: read -r -a folders <<<"$PATH"
for folder in "${folders[@]}"; do
  for program in "$folder"/python3 "$folder"/python3.[0-9] "$folder"/python3.[0-9][0-9]; do
    [ -x "$program" ] || continue
    version="$("$program" -I -S -c 'import sys; print("%d.%d.%d" % sys.version_info[:3])' 2>/dev/null)" || continue
    [ -n "${at["$version"]:-}" ] || at["$version"]="$program"
  done
done
there="$(printf '%s\n' "${!at[@]}" | sort -V)"
first="" paths=()
while IFS= read -r wanted; do
  wanted="${wanted//[[:space:]]/}"
  [ -n "$wanted" ] || continue
  plain="${wanted%%.x}"; plain="${plain%%.\*}"; plain="${plain%-dev}"; plain="${plain#\~}"; plain="${plain#=}"; plain="${plain#=}"
  found=""
  case "$plain" in
    ">="*) least="${plain#>=}"; found="$(printf '%s\n%s\n' "$least" "$there" | sort -V | tail -1)"; [ -n "${at["$found"]:-}" ] || found="" ;;
    x | "*" | 3.x) found="$(tail -1 <<<"$there")" ;;
    *) while IFS= read -r one; do case "$one." in "$plain".*) found="$one" ;; esac; done <<<"$there" ;;
  esac
  if [ -z "$found" ]; then
    echo "::error::Python $wanted is not on this machine; there are: $(tr '\n' ' ' <<<"$there")"
    exit 1
  fi
  place="$RUNNER_TEMP/python-$found"
  if [ ! -d "$place" ]; then
    "${at["$found"]}" -m venv --without-pip "$place" || { echo "::error::Python $found cannot make a virtual environment (apt-get install python3-venv)"; exit 1; }
    # Copying pip takes a tenth of the time that ensurepip takes.
    pip="$("${at["$found"]}" -I -c 'import os, pip; print(os.path.dirname(pip.__file__))' 2>/dev/null)" || pip=""
    site="$(echo "$place"/lib/python*/site-packages)"
    if [ -n "$pip" ]; then
      cp -r "$pip" "$(echo "${pip%/*}"/pip-*.dist-info)" "$site/"
      for name in pip pip3; do printf '#!/bin/sh\nexec "%s" -m pip "$@"\n' "$place/bin/python" >"$place/bin/$name"; chmod +x "$place/bin/$name"; done
    else
      "$place/bin/python" -m ensurepip >/dev/null
    fi
  fi
  paths=("$place/bin" ${paths[@]+"${paths[@]}"})
  first="$found"
done <<<"$WANTED"
printf '%s\n' "${paths[@]}" | tac >>"$GITHUB_PATH"
place="$RUNNER_TEMP/python-$first"
{ echo "python-version=$first"; echo "python-path=$place/bin/python"; } >>"$GITHUB_OUTPUT"
{ echo "pythonLocation=$place"; echo "Python3_ROOT_DIR=$place"; } >>"$GITHUB_ENV"
echo "Python $first"
